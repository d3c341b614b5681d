package extauthz

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/authz"
	"github.com/tollgate-authz/tollgate/authz/deny"
)

// Log writes one wide line for every refusal, with all that an operator needs
// to find the request again: the decision's id, which the caller has too, and
// Envoy's request id. Never a token, a secret or the query.
type Log struct{ Logger *slog.Logger }

// Observe implements Observer.
func (l Log) Observe(req *authz.Request, d *authz.Decision, took time.Duration) {
	reason := d.Refusal()
	if reason == nil {
		if d.Limits.Shadowed {
			l.shadowed(d)
		}
		return
	}
	level := slog.LevelInfo
	if reason == deny.Internal || errors.Is(d.Cause, authz.ErrPanic) {
		level = slog.LevelError
	}
	if !l.Logger.Enabled(context.Background(), level) {
		return
	}
	path, _, _ := strings.Cut(req.Path, "?") // a query may hold secrets
	attrs := []slog.Attr{
		slog.String("code", reason.Code), slog.Int("status", reason.Status), slog.String("step", d.Step),
		slog.String("decision_id", string(d.ID[:])), slog.String("request_id", clip(req.RequestID)),
		slog.String("method", clip(req.Method)), slog.String("host", clip(req.Host)), slog.String("path", clip(path)),
		slog.String("peer", req.Peer.String()), slog.Int64("took_us", took.Microseconds()), slog.Bool("passed", d.Passed),
	}
	if d.Route != nil {
		attrs = append(attrs, slog.String("api", d.Route.API.Name), slog.String("route", d.Route.Label()))
	}
	if id := d.Identity; id != nil {
		attrs = append(attrs, slog.String("client", id.ClientID()), slog.String("account", id.Account()), slog.String("token_id", id.TokenID()))
	}
	if d.Cause != nil {
		attrs = append(attrs, slog.String("cause", d.Cause.Error()))
	}
	l.Logger.LogAttrs(context.Background(), level, "refused", attrs...)
}

// shadowed tells of an allowed request that plans in shadow would have refused.
func (l Log) shadowed(d *authz.Decision) {
	l.Logger.LogAttrs(context.Background(), slog.LevelInfo, "would have been refused", slog.Any("limits", shadowed(d)),
		slog.String("decision_id", string(d.ID[:])), slog.String("client", d.Identity.ClientID()), slog.String("account", d.Identity.Account()),
		slog.String("token_id", d.Identity.TokenID()), slog.String("route", d.Route.Label()))
}

// clip bounds a text that a stranger chose, and copies it out of the message.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Clone(s)
}

// Observers tells several observers.
type Observers []Observer

// Observe implements Observer.
func (o Observers) Observe(req *authz.Request, d *authz.Decision, took time.Duration) {
	for _, each := range o {
		each.Observe(req, d, took)
	}
}
