package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// maxFile bounds the configuration file, in bytes.
const maxFile = 4 << 20

// Load reads and validates a file. If there are faults, all of them are returned
// at once, in the order of the file, and no configuration.
//
// getenv looks up the variables that the file names; os.LookupEnv does.
func Load(path string, getenv func(string) (string, bool)) (*Config, Faults) {
	return load(path, &reader{getenv: getenv})
}

// Check is Load that also looks into the files that serve would read.
func Check(path string, getenv func(string) (string, bool)) (*Config, Faults) {
	return load(path, &reader{getenv: getenv, files: true})
}

func load(path string, r *reader) (*Config, Faults) {
	data, err := readBounded(path, maxFile, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, Faults{{File: path, Reason: "there is no such file; write it, or name another with --config FILE"}}
	case err != nil:
		return nil, Faults{{File: path, Reason: err.Error() + "; name a configuration file with --config FILE"}}
	}
	return r.parse(path, data, filepath.Dir(path))
}

// Parse is Load for a file that was read already. Relative paths in it are
// relative to dir.
func Parse(name string, data []byte, dir string, getenv func(string) (string, bool)) (*Config, Faults) {
	r := &reader{getenv: getenv}
	return r.parse(name, data, dir)
}

func (r *reader) parse(name string, data []byte, dir string) (*Config, Faults) {
	r.file, r.places = name, map[string]place{"": {line: 1, column: 1}}
	c := &Config{}
	var err error
	if r.dir, err = filepath.Abs(dir); err != nil {
		return nil, Faults{{File: name, Reason: err.Error()}}
	}
	c.Dir = r.dir
	if root := r.document(data); root != nil {
		r.value(root, reflect.ValueOf(c).Elem(), &field{}, "")
		r.compute(c)
		r.validate(c)
	}
	if len(r.faults) > 0 {
		r.faults.sort()
		return nil, r.faults
	}
	if len(c.APIs) == 0 {
		c.warn("apis is empty: every request is refused")
	}
	for i := range c.APIs {
		if c.APIs[i].APIKey != nil && !c.APIs[i].TakesAPIKeys() {
			c.warn("apis." + c.APIs[i].Name + ": api_key is not read with auth: " + c.APIs[i].Auth + "; write auth: api_key or auth: any to accept API keys")
		}
		if c.APIs[i].Auth == "none" && len(c.APIs[i].Routes) == 0 {
			c.warn("apis." + c.APIs[i].Name + ": auth: none opens routes, and the API has none: its hosts refuse every request; add match: / to open them")
		}
	}
	if len(r.later) > 0 {
		slices.Sort(r.later)
		c.warn("accepted but not enforced yet: " + strings.Join(slices.Compact(r.later), ", "))
	}
	return c, nil
}
