package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxSecretFile bounds what ${file:PATH} reads: a secret is short, and a wrong
// path may lead to a large file.
const maxSecretFile = 64 << 10

// variable is the inside of ${NAME} and ${NAME:-default}.
var variable = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?$`)

// expansion fills variables into one text. What it fills in is never shown: only
// the names are.
type expansion struct {
	dir    string
	getenv func(string) (string, bool)

	names   []string // what was filled in, as ${NAME} or ${file:PATH}
	reasons []string // what is wrong, one reason for each variable
}

// expand replaces ${…} and turns $${ into ${. What it fills in is not looked at
// again: a value that happens to hold "${" stays as it is.
func (e *expansion) expand(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String()
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			text = after
			continue
		}
		inside, rest, closed := strings.Cut(after, "}")
		if !closed {
			e.fault(`"${" is not closed; write ${NAME}, or $${ for the characters themselves`)
			return ""
		}
		b.WriteString(before)
		b.WriteString(e.value(inside))
		text = rest
	}
}

func (e *expansion) fault(format string, args ...any) {
	e.reasons = append(e.reasons, fmt.Sprintf(format, args...))
}

func (e *expansion) value(inside string) string {
	if path, isFile := strings.CutPrefix(inside, "file:"); isFile {
		e.names = append(e.names, "${"+inside+"}")
		return e.contents(path)
	}
	parts := variable.FindStringSubmatch(inside)
	if parts == nil {
		// What stands inside is not shown: it may be part of a written secret.
		e.fault("a ${…} in it names no variable; write ${NAME}, ${NAME:-default} or ${file:PATH}, or $${ for the characters themselves")
		return ""
	}
	name, hasDefault, otherwise := parts[1], parts[2] != "", parts[3]
	e.names = append(e.names, "${"+name+"}")
	value, set := e.getenv(name)
	switch {
	case value != "" || set && !hasDefault:
		return value
	case hasDefault:
		return otherwise
	}
	e.fault("the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
	return ""
}

// contents reads a file such as a mounted secret. Editors and `echo` end it with
// a newline that nobody means.
func (e *expansion) contents(path string) string {
	if path == "" {
		e.fault("${file:} names no file; write one like ${file:/run/secrets/key}")
		return ""
	}
	from := path
	if !filepath.IsAbs(from) {
		from = filepath.Join(e.dir, from)
	}
	data, err := readBounded(from, maxSecretFile, true)
	switch {
	case err != nil:
		e.fault("%v; ${file:PATH} needs a file that can be read", err)
	case !utf8.Valid(data):
		e.fault("the file of ${file:%s} is not text (UTF-8); write its contents as base64, for example", path)
		return ""
	}
	text, cut := strings.CutSuffix(string(data), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	return text
}

// readBounded reads a file of at most so many bytes. Only a regular file is sure
// to end: a read of a pipe would wait for its writer.
func readBounded(path string, most int64, regular bool) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory", path)
	case regular && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, nil
}
