package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// maxAnswerBytes bounds what an issuer may say about a token.
const maxAnswerBytes = 64 << 10

// connectTimeout bounds a connection's making, once for TCP and once for TLS. It
// is longer than a call: net/http finishes a connection that its first call did
// not wait for, and the next call finds it ready. Together they end within a
// second, so that a dead issuer leaves nothing behind (bar B5).
const connectTimeout = 450 * time.Millisecond

// NewIntrospectionClient makes the HTTP client for introspection, with the rules
// of NewFetchClient. It speaks HTTP/1.1, where giving up on a call closes its
// connection: one that has gone dead does not swallow the calls after it.
func NewIntrospectionClient() *http.Client {
	dialer := &net.Dialer{Timeout: connectTimeout, ControlContext: refuseOddAddresses}
	return withoutRedirects(&http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: connectTimeout, DisableCompression: true,
		MaxResponseHeaderBytes: 32 << 10, MaxIdleConnsPerHost: introspectionCalls, IdleConnTimeout: time.Minute,
	}})
}

// withoutRedirects copies a client. A redirect would hand the caller's token, and
// perhaps our secret, to whom it names.
func withoutRedirects(client *http.Client) *http.Client {
	strict := *client
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &strict
}

// errSilent marks failures that the next call will most likely share: nobody
// answered, or only to say that nobody will.
var errSilent = errors.New("no answer")

// ask makes one call. A panic in it must not end the process (bar B4): nobody
// stands above this goroutine to catch it.
func (i *Introspector) ask(q *query) (token *Token, err error) {
	defer func() {
		if p := recover(); p != nil {
			token, err = nil, i.unanswered("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(i.base, i.Timeout)
	defer cancel()
	doc, err := i.post(ctx, q.bearer)
	if err != nil {
		return nil, i.unanswered("%w", err)
	}
	return i.read(doc, q)
}

// post sends the request of RFC 7662 section 2.1.
func (i *Introspector) post(ctx context.Context, bearer string) ([]byte, error) {
	form := url.Values{"token": {bearer}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// RFC 6749 section 2.3.1: both are form-encoded before they are joined.
	req.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret.Reveal()))
	// Asking twice does no harm: net/http may ask again on a new connection when
	// an idle one turns out to be closed. The header itself is not sent.
	req.Header["X-Idempotency-Key"] = nil
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSilent, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkAnswerHead(resp); err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: read the answer: %w", errSilent, err)
	case len(doc) > maxAnswerBytes:
		return nil, fmt.Errorf("the answer is over %d bytes", maxAnswerBytes)
	}
	return doc, nil
}

// checkAnswerHead refuses all but 200 with JSON. Most other answers may be about
// the one token (a firewall that dislikes it, a bug that it meets) and say nothing
// of the next; some say that the issuer answers nobody, or not us.
func checkAnswerHead(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: it refused our client_id and client_secret (401)", errSilent)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("%w: it answered %d", errSilent, resp.StatusCode)
	default:
		return fmt.Errorf("it answered %d, not 200 (RFC 7662 section 2.2)", resp.StatusCode)
	}
	// RFC 9701 answers (application/token-introspection+jwt) are signed: reading
	// their payload without a look at the signature would be worse than none.
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errors.New("its answer is not application/json")
	}
	return nil
}

// read judges an answer. What is no answer at all is the issuer's fault; a token
// that is not active, or whose claims do not fit, is invalid.
func (i *Introspector) read(doc []byte, q *query) (*Token, error) {
	v, err := strictjson.Parse(doc, maxDepth)
	if err != nil {
		return nil, i.unanswered("the answer is not strict JSON: %w", err)
	}
	active := v.Get("active")
	if active == nil || active.Kind != strictjson.Bool {
		return nil, i.unanswered(`the answer has no "active" that is true or false (RFC 7662 section 2.2)`)
	}
	if active.Text != "true" {
		return nil, invalid("issuer %s says that it is not active", i.Trust.Issuer)
	}
	if err = i.checkKind(&v); err == nil {
		err = i.checkSize(&v)
	}
	var t *Token
	if err == nil {
		i.complete(&v, q)
		t, err = i.Trust.readClaims(&v, q.now)
	}
	if err != nil {
		return nil, fmt.Errorf("introspected at issuer %s: %w", i.Trust.Issuer, err)
	}
	t.digest, t.Origin = q.digest, i.origin
	return t, nil
}

// checkKind refuses what is active but no bearer access token of this issuer.
func (i *Introspector) checkKind(v *strictjson.Value) error {
	for _, member := range []struct {
		name     string
		accepted []string
	}{
		{"iss", []string{i.Trust.Issuer}},
		// A refresh token is active too; presented here it is misused or stolen.
		{"token_type", []string{"bearer"}}, // without case (RFC 6749 section 5.1)
		{"token_use", []string{"access_token", "access"}},
	} {
		value := v.Get(member.name)
		if value == nil {
			continue
		}
		text := value.Text
		if member.name == "token_type" {
			text = strings.ToLower(text)
		}
		if value.Kind != strictjson.String || !slices.Contains(member.accepted, text) {
			return invalid("its %q is not that of a bearer access token of this issuer", member.name)
		}
	}
	// RFC 7800: the token is good only with proof of a key, by mutual TLS (RFC
	// 8705) or DPoP (RFC 9449), which nobody asks for here. Without, it may be stolen.
	if v.Get("cnf") != nil {
		return invalid("it is bound to a key (cnf) and so no bearer token")
	}
	return nil
}

// checkSize holds the claims that are read to what a JWT can carry: they go into
// headers, and comparing tens of thousands of scopes would take seconds.
func (i *Introspector) checkSize(v *strictjson.Value) error {
	size := 0
	for _, name := range []string{"aud", "client_id", "jti", "sub", i.Trust.ClientClaim, i.Trust.ScopeClaim} {
		if member := v.Get(name); member != nil {
			size += len(member.Raw)
		}
	}
	if size > maxTokenBytes {
		return invalid("its claims have %d bytes; at most %d are read", size, maxTokenBytes)
	}
	return nil
}

// complete adds what RFC 7662 section 2.2 leaves optional and readClaims needs.
// It adds no aud: RFC 8707 section 2 has the issuer say whom a token is for, and
// one that is for nobody in particular could have been given to any other API.
func (i *Introspector) complete(v *strictjson.Value, q *query) {
	add := func(name string, value *strictjson.Value) {
		if value != nil && v.Get(name) == nil {
			v.Members = append(v.Members, strictjson.Member{Name: name, Value: *value})
		}
	}
	add(i.Trust.ClientClaim, v.Get("client_id"))
	add("sub", v.Get(i.Trust.ClientClaim)) // a client that acts for itself
	if v.Get("jti") == nil {
		add("jti", &strictjson.Value{Kind: strictjson.String, Text: i.nameToken(q.bearer)})
	}
	// Without exp the token lives until it is asked about again.
	add("exp", &strictjson.Value{Kind: strictjson.Number, Text: strconv.FormatInt(q.now.Add(i.Cache).Unix()+1, 10)})
}

// nameToken names a token that has no jti, for its counters and for the upstream.
// It is a hash, and not the one under which others may keep the token. The
// padding that a generous issuer may overlook does not count, nor does the
// signature of a JWT: one token has one name.
func (i *Introspector) nameToken(bearer string) string {
	if payload, err := jwtPayload(bearer); err == nil {
		return claimsID(&payload)
	}
	sum := sha256.Sum256([]byte("introspected\x00" + i.Trust.Issuer + "\x00" + strings.TrimRight(bearer, "=")))
	return "sha256-" + base64.RawURLEncoding.EncodeToString(sum[:16])
}
