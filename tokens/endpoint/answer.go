package endpoint

import (
	"net/http"
	"strconv"
	"time"
)

// answer is a whole HTTP response. All are written by write alone.
type answer struct {
	status     int
	body       []byte
	public     bool // may be cached: it is the same for everybody
	allow      string
	challenge  string // WWW-Authenticate
	retryAfter time.Duration
}

// publicFor is how long keys and metadata may be cached. Whoever meets a kid that
// he does not know fetches anew anyhow.
const publicFor = 5 * time.Minute

func (a *answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if len(a.body) > 0 {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if a.public {
		h.Set("Cache-Control", "public, max-age="+wholeSeconds(publicFor))
	} else {
		h.Set("Cache-Control", "no-store")
		h.Set("Pragma", "no-cache") // RFC 6749 section 5.1 asks for both
	}
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.challenge != "" {
		h.Set("WWW-Authenticate", a.challenge)
	}
	if a.retryAfter > 0 {
		h.Set("Retry-After", wholeSeconds(a.retryAfter))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the caller has gone: nobody is left to tell
	}
}

// wholeSeconds rounds up: who comes back at that time must be let in.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
