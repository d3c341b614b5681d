// Package storetest is the conformance suite of the stores: what package tokens
// and its callers rely on, whichever database keeps the records.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tollgate-authz/tollgate/authz/stats"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Store is everything that a store does.
type Store interface {
	tokens.Records
	CreateClient(ctx context.Context, c *tokens.Client) error
	Client(ctx context.Context, idOrAlias string) (*tokens.Client, error)
	ListClients(ctx context.Context) ([]*tokens.Client, error)
	ClientsPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.Client, error)
	EditClient(ctx context.Context, idOrAlias string, edit func(*tokens.Client) error) (*tokens.Client, error)
	DeleteClient(ctx context.Context, idOrAlias string, check func(*tokens.Client) error) error
	AddSecret(ctx context.Context, client string, hash []byte, until time.Time) (*tokens.Client, error)
	RevokeSecret(ctx context.Context, client string, generation int64) (*tokens.Client, error)

	CreateAccount(ctx context.Context, a *tokens.Account) error
	Account(ctx context.Context, name string) (*tokens.Account, error)
	ListAccounts(ctx context.Context) ([]*tokens.Account, error)
	AccountsPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.Account, error)
	EditAccount(ctx context.Context, name string, edit func(*tokens.Account) error) (*tokens.Account, error)
	AddCredit(ctx context.Context, c *tokens.Credit) (*tokens.Account, error)
	ListCredits(ctx context.Context, account string, after *tokens.Credit, limit int) ([]*tokens.Credit, error)

	CreateUser(ctx context.Context, u *tokens.User) error
	User(ctx context.Context, idOrEmail string) (*tokens.User, error)
	UsersPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.User, error)
	EditUser(ctx context.Context, idOrEmail string, edit func(*tokens.User) error) (*tokens.User, error)
	DeleteUser(ctx context.Context, idOrEmail string, check func(*tokens.User) error) error

	AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error
	Family(ctx context.Context, id string) (*tokens.Family, error)
	RotateFamily(ctx context.Context, next *tokens.Family, g *tokens.Grant) error
	EndFamily(ctx context.Context, id string) error
	RevokeToken(ctx context.Context, g *tokens.Grant) error
	Token(ctx context.Context, id string) (*tokens.Holding, error)
	EditToken(ctx context.Context, id string, edit func(*tokens.Holding) error) (*tokens.Holding, error)
	TokensPage(ctx context.Context, account, client string, after tokens.Position, limit int) ([]*tokens.Grant, error)

	LimitRevisions(ctx context.Context, limits map[string]int64) (map[string]int64, error)
	AddLockout(ctx context.Context, l *tokens.Lockout) error
	ListLockouts(ctx context.Context) ([]*tokens.Lockout, error)
	DeleteLockout(ctx context.Context, id tokens.LockoutID) error

	CreateAPIKey(ctx context.Context, k *tokens.APIKey, opens []string) error
	ListAPIKeys(ctx context.Context) ([]*tokens.APIKey, error)
	APIKey(ctx context.Context, id string) (*tokens.APIKey, error)
	APIKeysPage(ctx context.Context, account string, after tokens.Position, limit int) ([]*tokens.APIKey, error)
	EditAPIKey(ctx context.Context, id string, edit func(*tokens.APIKey) error) (*tokens.APIKey, error)
	DeleteAPIKey(ctx context.Context, id string, check func(*tokens.APIKey) error) error
	AddMove(ctx context.Context, m *tokens.Move) error
	ListMoves(ctx context.Context) ([]*tokens.Move, error)
	DeleteMove(ctx context.Context, id tokens.MoveID) error

	EnsureSigningKey(ctx context.Context, alg string, random io.Reader, lifetime time.Duration) error
	RotateSigningKey(ctx context.Context, r tokens.Rotation) (*tokens.SigningKey, error)

	Prune(ctx context.Context) (pruned int64, err error)

	stats.Store
}

// Epoch is a time at which a test's records may have been made. Stores keep
// microseconds.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// world is an empty store and the time that it goes by, from Epoch on.
type world struct {
	Store
	now time.Time
}

func (w *world) advance(d time.Duration) { w.now = w.now.Add(d) }

// NewClient is a client with every field set, fit to be stored.
func NewClient(id string) *tokens.Client {
	var pepper tokens.Pepper
	return &tokens.Client{
		ID: id, Name: "Reports of the night — " + id, Alias: "alias-" + id, Account: "acme", Plan: "gold",
		Environment: tokens.Sandbox, Scopes: []string{"contacts:read", "contacts:write"},
		TrustedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		TokenTTL:   10 * time.Minute, Format: tokens.Opaque, Refresh: true, Generation: 1, CreatedAt: Epoch,
		Secrets: []tokens.ClientSecret{{Generation: 1, Hash: pepper.Hash("secret of " + tokens.Secret(id))}},
	}
}

// Run runs the suite. open returns an empty store each time, which goes by the given
// clock, and closes it with the test.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) Store) {
	RunStats(t, func(t *testing.T, now func() time.Time) stats.Store { return open(t, now) })
	for name, test := range map[string]func(*testing.T, *world){
		"a client comes back as it was stored":    clientComesBack,
		"a client is found by its alias":          clientByAlias,
		"clients are listed by creation":          clientsByCreation,
		"names are taken once":                    namesAreTakenOnce,
		"a faulty client is refused":              faultyClient,
		"I2: scopes and addresses are edited":     editClient,
		"I2: what is fixed cannot be edited":      fixedFields,
		"I2: an edit's error changes nothing":     refusedEdits,
		"I2: an edit of nothing is none":          idleEdits,
		"I2: of edits at once none is lost":       clientEditsAtOnce,
		"I2: a deleted client is gone":            deleteClient,
		"an API key is edited":                    editAPIKey,
		"an account is edited":                    editAccount,
		"a user comes back as it was stored":      userComesBack,
		"a faulty user is refused":                faultyUser,
		"an e-mail address is taken once":         emailIsTakenOnce,
		"a user is edited":                        editUser,
		"a user is deleted":                       deleteUser,
		"clients are listed by page":              clientPages,
		"API keys are listed by page":             apiKeyPages,
		"accounts are listed by page":             accountPages,
		"users are listed by page":                userPages,
		"pages stay where they were":              pagesStay,
		"V2: secrets overlap":                     secretsOverlap,
		"V2: a revoked secret ends generations":   revokeSecret,
		"a client is suspended and resumed":       suspendClient,
		"accounts are made on the fly":            accountsOnTheFly,
		"an account is made once":                 accountIsMadeOnce,
		"an account comes back as it was stored":  accountComesBack,
		"O4: credits add up":                      creditsAddUp,
		"O4: a credit pays once":                  creditPaysOnce,
		"O4: credits are listed by page":          creditsArePaged,
		"tokens come back as they were stored":    tokensComeBack,
		"O1: terms come back with their token":    termsComeBack,
		"O1: faulty terms are refused":            faultyTerms,
		"O2: a token's limits are edited":         updateLimits,
		"O2: of edits at once none is lost":       editsAtOnce,
		"O2: a recorded token comes back":         holdingsComeBack,
		"O2: a recorded token is edited":          editHolding,
		"O2: a recorded token is deleted":         deleteHolding,
		"O2: recorded tokens are listed by page":  tokensArePaged,
		"limits of a file have revisions":         limitRevisions,
		"limits of one file have one revision":    limitRevisionsAtOnce,
		"V4: lockouts are kept and lifted":        lockouts,
		"V4: lockouts end":                        lockoutsEnd,
		"tokens are stored all or none":           tokensAllOrNone,
		"D4: a refresh token rotates":             familyRotates,
		"D4: one of many rotations succeeds":      oneRotates,
		"D4: a family expires":                    familyExpires,
		"D4: a family is ended":                   endFamily,
		"a token is revoked":                      revokeToken,
		"an API key comes back as it was stored":  keyComesBack,
		"a faulty API key is refused":             faultyAPIKey,
		"I5: an API key is deleted":               deleteAPIKey,
		"I5: moves are kept and taken back":       moves,
		"I5: no API key for what has moved":       movedAccount,
		"the feed tells every change":             feedTells,
		"the feed tells every kind":               feedTellsKinds,
		"the feed is quiet when nothing changed":  feedIsQuiet,
		"a snapshot is what the changes lead to":  snapshotIsTheSum,
		"a deletion takes all with it":            deletionCascades,
		"the feed says when it is too short":      feedHasAGap,
		"what has expired is pruned":              prune,
		"a registry follows the store":            registryFollows,
		"a registry follows every kind":           registryFollowsKinds,
		"a registry follows over a gap":           registryFollowsOverAGap,
		"one of many gets an alias":               oneGetsTheAlias,
		"a signing key is made once":              keyIsMadeOnce,
		"another algorithm makes another key":     keyOfAnotherAlgorithm,
		"one of many makes the signing key":       oneMakesTheKey,
		"signing keys rotate":                     keysRotate,
		"a key verifies what it has signed":       keyOutlivesItsTokens,
		"a key verifies what it signs to its end": keyOutlivesNewClients,
		"a key outlives tokens with long lives":   keyOutlivesLongTokens,
		"a rotation is called off":                rotationCalledOff,
		"a cancelled context changes nothing":     cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{now: Epoch}
			w.Store = open(t, func() time.Time { return w.now })
			test(t, w)
		})
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func create(t *testing.T, s Store, clients ...*tokens.Client) {
	t.Helper()
	for _, c := range clients {
		if err := s.CreateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

var sameClient = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})}

func diff(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, sameClient); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func cancelled(t *testing.T, s *world) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, s.CreateClient(ctx, NewClient("client1")), context.Canceled)
	wantError(t, s.EnsureSigningKey(ctx, "ES256", rand.Reader, time.Hour), context.Canceled)
	if n := len(must[[]*tokens.Client](t)(s.ListClients(t.Context()))); n != 0 {
		t.Errorf("%d clients, want none", n)
	}
	create(t, s, NewClient("client1")) // and the store still works
}
