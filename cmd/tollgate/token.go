package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/tokens"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Create, list, change, inspect and revoke tokens", a.tokenCreate(), a.tokenList(), a.tokenUpdate(), a.tokenInspect(), a.tokenRevoke())
}

// readToken takes a token from the command line, or with "-" from standard input,
// where other users of the machine do not see it.
func (a *app) readToken(arg string) (string, error) {
	if arg == "-" {
		text, err := io.ReadAll(io.LimitReader(a.in, 64<<10))
		if err != nil {
			return "", fmt.Errorf("read the token from standard input: %w", err)
		}
		arg = string(text)
	}
	if arg = strings.TrimSpace(arg); arg == "" {
		return "", usageError{errors.New("the token is empty")}
	}
	return arg, nil
}

// inspectQuestion asks what is known of a token.
type inspectQuestion struct {
	Token string `json:"token"`
}

// inspection is what is known of a token.
type inspection struct {
	Kind      string           `json:"kind"`  // access token, refresh token or API key
	State     string           `json:"state"` // active, expired, ended or invalid
	Reason    string           `json:"reason,omitempty"`
	ID        string           `json:"jti,omitempty"`
	Name      string           `json:"name,omitempty"`
	Issuer    string           `json:"iss,omitempty"`
	Subject   string           `json:"sub,omitempty"`
	Audience  []string         `json:"aud,omitempty"`
	ClientID  string           `json:"client_id,omitempty"`
	Account   string           `json:"account,omitempty"`
	Plan      string           `json:"plan,omitempty"`
	Scopes    []string         `json:"scopes,omitempty"`    // of the token
	Effective []string         `json:"effective,omitempty"` // those that its client still has
	Trusted   []string         `json:"ip_allow,omitempty"`  // of its client
	TokenIPs  []string         `json:"token_ip_allow,omitempty"`
	IssuedAt  string           `json:"issued_at,omitempty"`
	ExpiresAt string           `json:"expires_at,omitempty"`
	Gen       int64            `json:"generation,omitempty"`
	Family    string           `json:"family,omitempty"`
	Limits    []explainedLimit `json:"limits,omitempty"`
}

func (a *app) tokenInspect() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: "inspect TOKEN", Short: "Show what is known of a token or an API key; its signature is checked", Args: cobra.ExactArgs(1),
		Long: `Show what is known of an access token, a refresh token or an API key: its claims, with
its signature checked, whether it is accepted and why not, and what is left of its
limits. "-" reads it from standard input.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := a.readToken(args[0])
			if err != nil {
				return err
			}
			found, err := a.askInspection(cmd.Context(), &inspectQuestion{token})
			if err != nil {
				return err
			}
			if a.wantJSON() {
				return a.printJSON(found)
			}
			a.printInspection(found)
			return nil
		},
	})
}

// askInspection asks a running serve, or looks by itself when none runs.
func (a *app) askInspection(ctx context.Context, q *inspectQuestion) (*inspection, error) {
	c, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	return inspecting.ask(ctx, c, q)
}

var inspecting = inquiry[inspectQuestion, *inspection]{"/inspect", func(ctx context.Context, n *node, q *inspectQuestion, live bool) (*inspection, error) {
	if !live {
		n.awaitKeys(ctx)
	}
	return n.inspect(ctx, q, live)
}}

func (n *node) inspect(ctx context.Context, q *inspectQuestion, live bool) (*inspection, error) {
	now := n.now()
	if id, counter, ours := n.pepper.ReadRefreshToken(tokens.Secret(q.Token)); ours {
		return n.inspectRefresh(ctx, id, counter, now)
	}
	found := &inspection{Kind: "access token", State: "active"}
	t, err := n.verifier.VerifyAPIKey(q.Token)
	if err == nil {
		found.Kind = "API key"
	} else {
		t, err = n.verifier.Verify(ctx, q.Token, now)
	}
	switch {
	case errors.Is(err, tokens.ErrInvalid):
		return &inspection{Kind: "unknown", State: "invalid", Reason: err.Error()}, nil
	case err != nil:
		return nil, err
	}
	id := t.Identity()
	found.ID, found.Issuer, found.Subject, found.Audience = t.ID, id.Issuer(), t.Subject, t.Audience
	found.ClientID, found.Account, found.Plan = id.ClientID(), id.Account(), id.Plan()
	found.Scopes, found.Effective, found.Trusted = t.Scopes, id.Scopes, prefixTexts(id.TrustedIPs())
	found.IssuedAt, found.ExpiresAt, found.Gen, found.Family = stamp(t.Issued), stamp(id.Expires()), t.Generation, t.Family
	switch {
	case id.Expired(now):
		found.State, found.Reason = "expired", "it expired at "+found.ExpiresAt
	case id.EndedBy(now) != nil:
		found.State, found.Reason = "ended", id.EndedBy(now).Error()
	}
	found.TokenIPs = prefixTexts(id.TokenIPs())
	if id.Grant != nil && id.Grant.Terms != nil {
		found.Name = id.Grant.Terms.Name
	}
	return found, n.inspectLimits(ctx, found, id, now, live)
}

// inspectLimits shows what is left of the limits that apply to a token.
func (n *node) inspectLimits(ctx context.Context, found *inspection, id *tokens.Identity, now time.Time, live bool) error {
	limits, err := n.gate.Policy().LimitsOf(id)
	if err != nil { // its plan is not configured: the gate says so
		return nil
	}
	used, err := n.usedLimits(ctx, id, &limits, now, live)
	for _, u := range used {
		found.Limits = append(found.Limits, explainedLimit{Limit: u.Limit, Left: u.Left, Of: u.Of})
	}
	return err
}

func (n *node) inspectRefresh(ctx context.Context, family string, counter uint32, now time.Time) (*inspection, error) {
	found := &inspection{Kind: "refresh token", State: "active", Family: family}
	f, err := n.store.Family(ctx, family)
	if errors.Is(err, tokens.ErrNotFound) {
		found.State, found.Reason = "ended", "its family is no longer recorded"
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	found.ClientID, found.Scopes, found.Audience, found.Gen = f.Client, f.Scopes, []string{f.Audience}, f.Generation
	found.IssuedAt, found.ExpiresAt = stamp(f.CreatedAt), stamp(f.Expires())
	client := n.registry.Client(f.Client)
	switch {
	case !f.EndedAt.IsZero():
		found.State, found.Reason = "ended", "its family was ended at "+stamp(f.EndedAt)
	case !f.Live(now):
		found.State, found.Reason = "expired", "it expired at "+found.ExpiresAt
	case counter != f.Counter:
		found.State, found.Reason = "ended", "it was used before; using it again ends the family"
	case client == nil, client.Suspended, f.Generation <= client.Ended:
		found.State, found.Reason = "ended", "its client is gone or suspended, or the secret it was made with was revoked"
	}
	return found, nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *app) printInspection(found *inspection) {
	for _, line := range []struct{ name, value string }{
		{"kind", found.Kind}, {"state", found.State}, {"reason", found.Reason}, {"token", found.ID}, {"name", found.Name}, {"issuer", found.Issuer}, {"subject", found.Subject},
		{"audience", strings.Join(found.Audience, " ")}, {"client", found.ClientID}, {"account", found.Account}, {"plan", found.Plan},
		{"scopes", strings.Join(found.Scopes, " ")}, {"effective", strings.Join(found.Effective, " ")}, {"trusted IPs", strings.Join(found.Trusted, " ")}, {"for it alone", strings.Join(found.TokenIPs, " ")},
		{"issued", found.IssuedAt}, {"expires", found.ExpiresAt}, {"family", found.Family},
	} {
		if line.value != "" {
			a.printf("%-12s %s\n", line.name, line.value)
		}
	}
	for _, l := range found.Limits {
		a.printf("%-12s %s   left: %v of %v\n", "limit", l.Limit, l.Left, l.Of)
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN|ID", Short: "Revoke an access token, or a refresh token with all that came from it", Args: cobra.ExactArgs(1),
		Long: `Revoke an access token, or a refresh token with all access tokens that came from it.
"-" reads it from standard input. Of a recorded token, which token list shows, the ID
will do.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := a.readToken(args[0])
			if err != nil {
				return err
			}
			return a.onRecords(cmd.Context(), func(n *node) error { return a.revokeToken(cmd.Context(), n, token) })
		},
	}
}

func (a *app) revokeToken(ctx context.Context, n *node, token string) error {
	if id, _, ours := n.pepper.ReadRefreshToken(tokens.Secret(token)); ours {
		if err := n.store.EndFamily(ctx, id); err != nil {
			return err
		}
		a.printf("revoked the refresh token and every access token that came from it\n")
		return nil
	}
	if _, err := n.verifier.VerifyAPIKey(token); err == nil {
		return usageError{errors.New("it is an API key: end it with api-key delete ID; token inspect shows its ID")}
	}
	t := n.verifier.Recorded(token)
	if t == nil {
		var err error
		if t, err = n.verifier.VerifyOwn(ctx, token, n.now()); err != nil {
			return fmt.Errorf("%w; and no token of that ID is recorded", err)
		}
	}
	if id := t.Identity(); id.Expired(n.now()) {
		a.printf("it has expired at %s; there is nothing to revoke\n", stamp(id.Expires()))
		return nil
	}
	if err := n.store.RevokeToken(ctx, t.Record()); err != nil {
		return err
	}
	a.printf("revoked %s; it is refused from now on\n", t.ID)
	return nil
}
