package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sprintf(verb string, value any) string { return fmt.Sprintf(verb, value) }

// Every file of testdata/faults is wrong in many ways; beside it stands all that
// is said about it.
func TestFaultsOfFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, faults := Parse(filepath.Base(path), data, filepath.Dir(path), environment)
			if c != nil || len(faults) == 0 {
				t.Fatalf("got %v and no fault", c)
			}
			text := faults.Error() + "\n"
			if strings.Count(text, "\n") != len(faults) {
				t.Errorf("%d faults on other than as many lines", len(faults))
			}
			for _, secret := range []string{"zq7", "hunter2", "9182736450"} {
				if strings.Contains(text, secret) {
					t.Errorf("the faults show %q:\n%s", secret, text)
				}
			}
			if wd, err := os.Getwd(); err == nil {
				text = strings.ReplaceAll(text, wd+"/", "")
			}
			requireGolden(t, strings.TrimSuffix(path, ".yaml")+".txt", []byte(text))
		})
	}
}
