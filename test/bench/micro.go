package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// micro is one Go benchmark of a package: the medians of its runs.
type micro struct {
	pkg, name     string
	ns            float64
	bytes, allocs int64
}

// microSets are the benchmarks that are part of the report.
var microSets = []struct{ pkg, match string }{
	{"./authz", "^BenchmarkGateCheckWarm$"},
	{"./tokens", "^BenchmarkFirstSight$"},
	{"./limiter", "."},
	{"./limiter/quota", "^BenchmarkSpend$"},
	{"./authz/route", "^Benchmark(Match|Plain)$"},
	{"./authz/stats", "^BenchmarkCount$"},
	{"./authz/decisions", "^BenchmarkAdd$"},
}

// runMicros runs the packages' own benchmarks, one package after the other.
func runMicros(ctx context.Context, root string) ([]micro, error) {
	var all []micro
	for _, set := range microSets {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", set.match, "-benchmem", "-benchtime", "200ms", "-count", "3", set.pkg)
		cmd.Dir = root
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out, said.Bytes())
		}
		found, err := parseMicros(set.pkg, out)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// parseMicros reads what go test prints, in the order of its first lines:
//
//	BenchmarkMatch/exact-2   1000000   201.5 ns/op   0 B/op   0 allocs/op
func parseMicros(pkg string, out []byte) ([]micro, error) {
	var order []string
	runs := map[string][]micro{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		m, ok, err := parseMicro(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w", pkg, err)
		}
		if !ok {
			continue
		}
		if runs[m.name] == nil {
			order = append(order, m.name)
		}
		runs[m.name] = append(runs[m.name], m)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("benchmarks of %s: none ran", pkg)
	}
	var all []micro
	for _, name := range order {
		m := micro{pkg: pkg, name: name}
		var ns []float64
		var size, allocs []int64
		for _, r := range runs[name] {
			ns, size, allocs = append(ns, r.ns), append(size, r.bytes), append(allocs, r.allocs)
		}
		m.ns, m.bytes, m.allocs = median(ns), median(size), median(allocs)
		all = append(all, m)
	}
	return all, lines.Err()
}

func parseMicro(line string) (m micro, ok bool, err error) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return m, false, nil
	}
	m.name = strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(m.name, '-'); i > 0 { // the number of cores
		m.name = m.name[:i]
	}
	for i := 3; i < len(fields); i += 2 {
		switch value := fields[i-1]; fields[i] {
		case "ns/op":
			m.ns, err = strconv.ParseFloat(value, 64)
		case "B/op":
			m.bytes, err = strconv.ParseInt(value, 10, 64)
		case "allocs/op":
			m.allocs, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return m, false, fmt.Errorf("line %q: %w", line, err)
		}
	}
	return m, true, nil
}
