package manage

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestGoldenOpenAPI keeps docs/openapi.json current: the file as an installation at
// https://tollgate.example would serve it. UPDATE_GOLDEN=1 writes it.
func TestGoldenOpenAPI(t *testing.T) {
	t.Parallel()
	c := newWorld(t).api.Config
	c.Version = "1" // it does not change with every build
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, h.file, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	path := filepath.Join("..", "..", "docs", "openapi.json")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%s is not current: make docs writes it", path)
	}
}
