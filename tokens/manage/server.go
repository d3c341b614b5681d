package manage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// Owns reports whether a path, as it was sent, is the API's.
func (h *Handler) Owns(escapedPath string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(escapedPath, "/"), "/")
	return h.routes[first]
}

// ServeHTTP answers one request. Who calls is asked before anything is read that he
// has sent.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := h.Now()
	ev := Event{Operation: "other"}
	watched := &watcher{ResponseWriter: w}
	h.serve(watched, r, &ev)
	ev.Status, ev.Duration = watched.status, h.Now().Sub(start)
	h.Observe(ev)
}

func (h *Handler) serve(w *watcher, r *http.Request, ev *Event) {
	defer func() {
		if p := recover(); p != nil {
			ev.Err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			if w.status == 0 {
				writeProblem(w, r, unavailable(nil))
			}
		}
	}()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	by, err := h.admit(r, ev)
	if err != nil {
		writeProblem(w, r, ev.note(err))
		return
	}
	h.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, &call{by, ev})))
}

// note says why a request was refused.
func (ev *Event) note(err error) *problem {
	p := problemOf(err)
	ev.Cause, ev.Err = p.Detail, p.cause
	return p
}

// call is one request on its way to its operation.
type call struct {
	by *caller
	ev *Event
}

type callKey struct{}

// admit finds the operation and asks whether the caller may use it and has sent something
// that can be read in one way only. There is no caller where the path is for everybody.
func (h *Handler) admit(r *http.Request, ev *Event) (by *caller, err error) {
	if sent := r.URL.EscapedPath(); path.Clean(sent) != sent {
		return nil, notFound("path")
	}
	_, pattern := h.mux.Handler(r)
	method, route, found := strings.Cut(pattern, " ")
	switch {
	case pattern == "":
		return nil, notFound("path")
	case !found || route == pathFile:
		return nil, nil
	}
	op := &operations[slices.IndexFunc(operations, func(o operation) bool { return o.method == method && o.path == route })]
	ev.Operation = op.id
	if by, err = h.authenticate(r, ev); err != nil {
		return nil, err
	}
	if err := by.require(op.needs); err != nil {
		return nil, err
	}
	if err := by.requireEnvironment(op); err != nil {
		return nil, err
	}
	if err := plainQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	shape := h.shapes[op.id]
	if err := shape.requireJSON(r); err != nil {
		return nil, err
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return by, shape.judge(r.Header, &body)
}

// plainQuery refuses what two parsers could read differently: parameters that are sent
// twice, and those without a value, which somebody has forgotten to fill in.
func plainQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return newProblem(http.StatusBadRequest, "the query cannot be read: it must be of the form name=value&name=value")
	}
	var faults []fault
	for name, values := range query {
		switch {
		case len(values) > 1:
			faults = append(faults, fault{"query." + name, "is sent more than once"})
		case values[0] == "":
			faults = append(faults, fault{"query." + name, "has no value"})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b fault) int { return strings.Compare(a.Location, b.Location) })
	return faulty(faults...)
}

// maxDepth of a body is deeper than any that the API takes.
const maxDepth = 16

// readBody reads the body strictly: a document that two parsers could understand
// differently is refused.
func readBody(r *http.Request) (read strictjson.Value, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return read, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return read, newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d KiB", maxBody>>10))
	case err != nil:
		return read, newProblem(http.StatusBadRequest, "the body could not be read to its end")
	}
	if len(body) > 0 {
		if read, err = strictjson.Parse(body, maxDepth); err != nil {
			return read, newProblem(http.StatusBadRequest, "the body is no JSON document that can be read in one way only")
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return read, nil
}

// watcher remembers what was answered.
type watcher struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *watcher) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watcher) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *watcher) Unwrap() http.ResponseWriter { return w.ResponseWriter }
