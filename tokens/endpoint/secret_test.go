package endpoint

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// rotate gives the client a second secret; the one it has works until then.
func (c caller) rotate(until time.Time) caller {
	c.t.Helper()
	secret, err := tokens.NewSecret(tokens.JWT, rand.Reader)
	c.must(err)
	c.edited(c.db.AddSecret(c.t.Context(), c.id, c.pepper.Hash(secret), until))
	return caller{c.world, c.id, secret}
}

// TestV2_RevokedSecretEndsItsTokens, by the generation number in them, and no others.
func TestV2_RevokedSecretEndsItsTokens(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		old := w.caller("app", refreshing, formatted(format))
		first, moved := old.token(), old.token()
		now := old.rotate(w.clock().Add(time.Hour))
		second := now.token()
		w.advance(time.Second)
		moved = now.refreshed(moved) // with the new secret: it is of the new one now
		if a, b, c := w.verify(first).Generation, w.verify(second).Generation, w.verify(moved).Generation; a != 1 || b != 2 || c != 2 {
			t.Errorf("%s: generations %d, %d and %d, want 1, 2 and 2", format, a, b, c)
		}
		for _, r := range []response{first, second, moved} {
			w.wantLive(true, r)
		}
		w.edited(w.db.RevokeSecret(t.Context(), old.id, 1))
		old.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 401, "R1", "invalid_client")
		w.wantLive(false, first)
		now.wantActive(false, first.fields.AccessToken)
		now.wantActive(false, first.fields.RefreshToken)
		now.refresh(first).wantInvalidGrant(t)
		w.advance(time.Second)
		for _, r := range []response{second, moved} {
			w.wantLive(true, r)
			now.wantActive(true, r.fields.RefreshToken)
			now.refreshed(r)
		}
		// Without any secret the client is nobody, and everything it had has ended.
		w.edited(w.db.RevokeSecret(t.Context(), old.id, 2))
		now.refresh(second).refused(t, 401, "R1", "invalid_client")
		w.wantLive(false, second)
		w.wantLive(false, moved)
		// A third secret brings none of it back.
		third := now.rotate(time.Time{})
		w.wantLive(false, second)
		third.refresh(moved).wantInvalidGrant(t)
		w.wantLive(true, third.token())
	}
}

// TestV2_RotationWithOverlap ends no token, and both secrets work meanwhile.
func TestV2_RotationWithOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	w.settings.AccessTTL = 3 * time.Hour
	old := w.caller("app", refreshing)
	first := old.token()
	now := old.rotate(epoch.Add(time.Hour))
	r := first
	for _, who := range []caller{old, now, old, now} {
		w.advance(time.Minute)
		w.wantLive(true, who.token())
		r = who.refreshed(r)
		who.wantActive(true, r.fields.AccessToken)
	}
	w.advance(56*time.Minute - time.Microsecond)
	old.token()
	byOld := old.token()
	w.advance(time.Microsecond)
	old.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 401, "R1", "invalid_client")
	old.refresh(r).refused(t, 401, "R1", "invalid_client")
	old.revoke(r.fields.AccessToken).refused(t, 401, "R1", "invalid_client")
	old.introspect(r.fields.AccessToken).refused(t, 401, "R1", "invalid_client")
	w.do(jsonRequest(old.id, old.secret, nil)).want(t, 401, "R1")
	for _, r := range []response{first, r, byOld} { // a secret that has run out was not revoked
		w.wantLive(true, r)
	}
	now.refreshed(r)
	now.refreshed(byOld)
}

// TestV2_RotationWithoutOverlap: the old secret is refused from the same moment.
func TestV2_RotationWithoutOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	old := w.caller("app", refreshing)
	r := old.token()
	now := old.rotate(w.clock())
	old.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 401, "R1", "invalid_client")
	w.wantLive(true, r)
	now.refreshed(r)
}
