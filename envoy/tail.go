package envoy

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailSize is how much of what Envoy printed an error repeats: its complaints
// about a configuration are one long line.
const tailSize = 4 << 10

// tail passes on what is written and remembers its end.
type tail struct {
	to io.Writer // may be nil

	mu  sync.Mutex // guards end
	end []byte
}

// Write never fails: an Envoy must not be ended by a log that is full.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.end = append(t.end, b...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
		// Not half a line.
		if i := bytes.IndexByte(t.end, '\n'); i >= 0 && i < len(t.end)-1 {
			t.end = append(t.end[:0], t.end[i+1:]...)
		}
	}
	t.mu.Unlock()
	if t.to != nil {
		_, _ = t.to.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.end) == 0 {
		return "(it printed nothing)"
	}
	return strings.TrimSpace(string(t.end))
}
