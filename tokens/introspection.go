package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How introspection is bounded. Envoy gives a whole check 200 ms (checkTimeout of
// package envoy) and then answers by itself, without a reason.
const (
	IntrospectionTimeout    = 140 * time.Millisecond // a refusal is out within 150 ms (bar B5)
	MaxIntrospectionTimeout = 180 * time.Millisecond
	IntrospectionCache      = 30 * time.Second
	MinIntrospectionCache   = time.Second
	MaxIntrospectionCache   = 5 * time.Minute

	introspectionBytes = 4 << 20         // remembered answers, when the configuration says nothing
	introspectionCalls = 32              // under way at once, likewise
	refusalCache       = 5 * time.Second // how long a refused token is not asked about again
	silencePause       = time.Second     // between two calls to an issuer that does not answer
)

// ErrUnanswered means that nobody could say whether a token is active: our fault
// or the issuer's, not the caller's. The gate answers 503 R0.
var ErrUnanswered = errors.New("the issuer did not say whether the token is active")

// IntrospectionConfig says how an issuer is asked about its opaque tokens (RFC
// 7662). Zero values get the defaults above.
type IntrospectionConfig struct {
	Trust        *Trust // the issuer, and how its answers are read; Trust.Keys may be nil
	Endpoint     string
	ClientID     string // our credential at the endpoint (RFC 7662 section 2.1 requires one)
	ClientSecret Secret
	Registry     *Registry     // what its accounts are held against; nil: nothing
	Client       *http.Client  // nil: NewIntrospectionClient
	Timeout      time.Duration // of one call, and of a caller's wait
	Cache        time.Duration // how long an active token is not asked about again, and so may outlive its revocation
	MaxBytes     int64         // of remembered answers; refusals get an eighth beside it
	MaxCalls     int           // under way at once
	Report       func(error)   // told once when the issuer falls silent, and with nil when it answers again
}

// Format keeps the secret out of whatever prints the configuration or what holds
// it: fmt does not ask a field's own type below a pointer that its verb does not
// suit.
func (IntrospectionConfig) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<introspection>")) }

// Introspector asks one issuer about its tokens and remembers what it said. It
// is safe for concurrent use.
//
// Strangers can make up tokens without end, and each that was never seen costs a
// call. So at most MaxCalls are under way; who finds them all taken waits for one
// to end, until its own deadline, and is then refused with ErrUnanswered (503 R0).
// Tokens that are remembered as active need no call and go on throughout. Refusals
// are remembered apart from them, so that made-up tokens push out only each other.
type Introspector struct {
	IntrospectionConfig
	client *http.Client
	base   context.Context // of the calls: a call outlives the check that began it, for others wait for it too
	stop   context.CancelFunc
	origin *Origin       // of all tokens
	slots  chan struct{} // one is held for each call
	group  sync.WaitGroup

	asked, failed, hits atomic.Uint64

	mu       sync.Mutex
	calls    map[[sha256.Size]byte]*call // under way
	active   introspectionCache
	refused  introspectionCache
	answered uint64    // calls that brought an answer
	silent   bool      // the last that was heard of the issuer was nothing
	retryAt  time.Time // while silent: when a call may try again
	closed   bool
}

// query is one token to ask about.
type query struct {
	bearer string
	digest [sha256.Size]byte // of the whole token
	now    time.Time
}

// call is one question to the issuer. Its result may be read when done is closed.
type call struct {
	done  chan struct{}
	token *Token
	err   error
}

// NewIntrospector checks the configuration. Nothing runs until a token comes;
// Close ends what then runs.
func NewIntrospector(c IntrospectionConfig) (*Introspector, error) {
	c.Timeout, c.Cache = orDefault(c.Timeout, IntrospectionTimeout), orDefault(c.Cache, IntrospectionCache)
	c.MaxBytes, c.MaxCalls = orDefault(c.MaxBytes, introspectionBytes), orDefault(c.MaxCalls, introspectionCalls)
	switch {
	case c.Trust == nil || c.Trust.Issuer == "" || c.Trust.Own:
		return nil, errors.New("introspection: another issuer than the built-in one is needed")
	case CheckFetchURL(c.Endpoint) != nil:
		return nil, fmt.Errorf("introspection of issuer %s: endpoint %q: a URL with https is needed (http only for this machine), without user and fragment", c.Trust.Issuer, c.Endpoint)
	case c.ClientID == "" || c.ClientSecret == "":
		return nil, fmt.Errorf("introspection of issuer %s: a client ID and a client secret are needed", c.Trust.Issuer)
	case c.Timeout < 0 || c.Timeout > MaxIntrospectionTimeout:
		return nil, fmt.Errorf("introspection of issuer %s: timeout %s: up to %s is allowed, within what Envoy waits", c.Trust.Issuer, c.Timeout, MaxIntrospectionTimeout)
	case c.Cache < MinIntrospectionCache || c.Cache > MaxIntrospectionCache:
		return nil, fmt.Errorf("introspection of issuer %s: cache %s: %s to %s is allowed", c.Trust.Issuer, c.Cache, MinIntrospectionCache, MaxIntrospectionCache)
	case c.MaxBytes < 0 || c.MaxCalls < 0:
		return nil, fmt.Errorf("introspection of issuer %s: negative bounds", c.Trust.Issuer)
	}
	if c.Client == nil {
		c.Client = NewIntrospectionClient()
	}
	i := &Introspector{
		IntrospectionConfig: c, client: withoutRedirects(c.Client), slots: make(chan struct{}, c.MaxCalls), origin: &Origin{registry: c.Registry},
		calls: map[[sha256.Size]byte]*call{}, active: introspectionCache{max: c.MaxBytes}, refused: introspectionCache{max: c.MaxBytes / 8},
	}
	i.base, i.stop = context.WithCancel(context.Background())
	return i, nil
}

func orDefault[T comparable](value, instead T) T {
	var zero T
	if value == zero {
		return instead
	}
	return value
}

// Introspect returns the token behind a bearer credential. An error that wraps
// ErrInvalid is the token's fault, any other is ours. The token may have expired
// since the issuer was asked: that is for the caller to judge, each time. It must
// not be put into another cache, where it would outlive what the issuer says.
//
// Callers that bring the same token share one call, which none of them can end:
// each leaves at its own deadline.
func (i *Introspector) Introspect(ctx context.Context, bearer string, now time.Time) (*Token, error) {
	if err := checkBearer(bearer); err != nil {
		return nil, err
	}
	q := query{bearer: bearer, digest: sha256.Sum256(unsafeBytes(bearer)), now: now}
	c, _, err := i.enter(&q, false)
	if err != nil {
		return nil, err
	}
	if c.ended() {
		return c.token, c.err
	}
	if err := ctx.Err(); err != nil { // Envoy has stopped waiting
		return nil, i.unanswered("not asked: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	if c == nil {
		if c, err = i.begin(ctx, &q); err != nil {
			return nil, err
		}
	}
	select {
	case <-c.done:
		return c.token, c.err
	case <-ctx.Done():
		return nil, i.unanswered("no answer in time: %w", ctx.Err())
	}
}

func (c *call) ended() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// recall returns the token if it is remembered as active.
func (i *Introspector) recall(digest *[sha256.Size]byte, now time.Time) *Token {
	i.mu.Lock()
	defer i.mu.Unlock()
	if c := i.active.get(digest, now); c != nil {
		i.hits.Add(1)
		return c.token
	}
	return nil
}

// begin waits for a slot and starts a call, unless somebody else has done so in
// the meantime.
func (i *Introspector) begin(ctx context.Context, q *query) (*call, error) {
	select {
	case i.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, i.unanswered("%d calls are under way and none ended in time: %w", cap(i.slots), ctx.Err())
	}
	c, began, err := i.enter(q, true)
	if !began {
		<-i.slots
	}
	return c, err
}

// enter finds the call that answers for a token: one that is remembered, one that
// is under way or, for who holds a slot, a new one. No call and no error: a slot
// is needed.
func (i *Introspector) enter(q *query, slot bool) (c *call, began bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if c = i.active.get(&q.digest, q.now); c == nil {
		c = i.refused.get(&q.digest, q.now)
	}
	if c != nil {
		i.hits.Add(1)
		return c, false, nil
	}
	switch c = i.calls[q.digest]; {
	case c != nil:
		return c, false, nil
	case i.closed:
		return nil, false, i.unanswered("it is no longer asked")
	case i.silent && q.now.Before(i.retryAt):
		return nil, false, i.unanswered("it is silent; it is asked again in a moment")
	case !slot:
		return nil, false, nil
	}
	// Should the issuer be silent, this call alone finds out about the next second:
	// a dead issuer does not cost every request its timeout.
	i.retryAt = q.now.Add(silencePause)
	asked, begun, answered := *q, &call{done: make(chan struct{})}, i.answered
	i.calls[q.digest] = begun
	i.asked.Add(1)
	i.group.Go(func() { i.run(begun, &asked, answered) })
	return begun, true, nil
}

// run asks the issuer and hands its answer to all who wait for it.
func (i *Introspector) run(c *call, q *query, answered uint64) {
	defer func() { <-i.slots }()
	c.token, c.err = i.ask(q)
	if was, is := i.conclude(c, q, answered); was != is && i.Report != nil {
		i.Report(c.err)
	}
}

// conclude remembers what a call brought. answered is how many calls had brought
// an answer when it began.
func (i *Introspector) conclude(c *call, q *query, answered uint64) (was, is bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.calls, q.digest)
	was = i.silent
	switch {
	case c.err == nil:
		i.answered, i.silent = i.answered+1, false
		i.active.put(&q.digest, c, q.now.Add(i.Cache), c.token.cost())
	case errors.Is(c.err, ErrInvalid):
		i.answered, i.silent = i.answered+1, false
		i.refused.put(&q.digest, c, q.now.Add(refusalCache), refusalCost)
	default:
		i.failed.Add(1)
		// Where others were answered meanwhile, the silence is about this token: who
		// finds one that the issuer chokes on must not silence it for everybody.
		i.silent = i.silent || errors.Is(c.err, errSilent) && i.answered == answered && !i.closed
	}
	close(c.done)
	return was, i.silent
}

func (i *Introspector) unanswered(format string, args ...any) error {
	return fmt.Errorf("issuer %s: %w: "+format, append([]any{i.Trust.Issuer, ErrUnanswered}, args...)...)
}

// Close ends the calls that are under way and waits for them. Introspect then
// answers from memory alone.
func (i *Introspector) Close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.stop()
	i.group.Wait()
	i.client.CloseIdleConnections()
}

// Calls is how often the issuer was asked, Failures how often in vain, and Hits
// how often memory answered instead.
func (i *Introspector) Calls() uint64    { return i.asked.Load() }
func (i *Introspector) Failures() uint64 { return i.failed.Load() }
func (i *Introspector) Hits() uint64     { return i.hits.Load() }
