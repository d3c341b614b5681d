package endpoint

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWhoHangsUpIsServedAllTheSame: a caller who has sent his request and does not wait
// for the answer, or closes his half of the connection, has asked for it.
func TestWhoHangsUpIsServedAllTheSame(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t, unlimited)
		c := w.caller("app", refreshing, formatted(format))
		first, second := c.token(), c.token()
		hangUp := func(path string, parameters ...string) int {
			q := formRequest(parameters...).basic(c.id, c.secret)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			r := httptest.NewRequest(q.method, path, strings.NewReader(q.body)).WithContext(ctx)
			r.Header = q.header
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			return rec.Code
		}
		if status := hangUp(pathRevoke, "token", first.fields.AccessToken); status != 200 {
			t.Errorf("%s: revoke answers %d", format, status)
		}
		w.wantLive(false, first)
		if status := hangUp(pathOAuth2Token, "grant_type", "refresh_token", "refresh_token", second.fields.RefreshToken); status != 200 {
			t.Errorf("%s: refresh answers %d", format, status)
		}
		if status := hangUp(pathOAuth2Token, "grant_type", "client_credentials"); status != 200 {
			t.Errorf("%s: token answers %d", format, status)
		}
	}
}
