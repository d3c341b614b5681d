package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSmoke_FloorAgainstItself runs tiny rounds with the floor on both sides.
func TestSmoke_FloorAgainstItself(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "floor")
	if out, err := exec.Command("go", "build", "-o", binary, "./floor").CombinedOutput(); err != nil {
		t.Fatalf("build the floor: %v\n%s", err, out)
	}
	check, err := recordedRequest(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var sides [2]*contender
	for i := range sides {
		p, address, err := startFloor(t.Context(), binary)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.stop)
		c, err := newCalls(check, []string{"one", "two"})
		if err != nil {
			t.Fatal(err)
		}
		sides[i] = &contender{process: p, address: address, message: c.message, judge: judgeFloor()}
	}
	const rounds, calls = 2, 3000
	d, err := contest(t.Context(), sides[0], sides[1], rounds, calls, 32)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.base) != rounds || len(d.other) != rounds {
		t.Fatalf("got %d and %d rounds, want %d", len(d.base), len(d.other), rounds)
	}
	for _, r := range append(d.base, d.other...) {
		if r.calls != calls || r.perCall() <= 0 || r.wall <= 0 || r.p50 <= 0 || r.p99 < r.p50 {
			t.Errorf("round %+v: every figure must be there", r)
		}
	}
}
