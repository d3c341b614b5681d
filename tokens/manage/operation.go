package manage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// operations is the whole API: what there is, and what one must be allowed to use it.
// What an operation takes and answers stands beside its function.
var operations = []operation{
	get("/tokens", "list-tokens", tokensRead, (*api).listTokens, "List recorded tokens, the oldest first"),
	post("/tokens", "create-token", tokensWrite, (*api).createToken, "Make a token; its value and its refresh token are shown this once"),
	get("/tokens/{id}", "get-token", tokensRead, (*api).getToken, "Show a token, and what is used of its limits"),
	patch("/tokens/{id}", "update-token", tokensWrite, (*api).updateToken, "Change a token, or rotate it: a new pair takes its place"),
	remove("/tokens/{id}", "delete-token", tokensWrite, (*api).deleteToken, "End a token and its refresh token"),
	get("/scopes", "list-scopes", scopesRead, (*api).listScopes, "List the scopes that can be asked for, and where they count"),
	get("/wallet", "get-wallet", walletRead, (*api).getWallet, "Show what is in the wallet, and its transactions"),
	post("/wallet/credits", "create-credit", admin, (*api).createCredit, "Put money into a wallet"),
	get("/stats", "get-stats", statsRead, (*api).getStats, "Show what the traffic was"),
	get("/decisions", "list-decisions", decisionsRead, (*api).listDecisions, "List the latest decisions, the newest first, or follow them"),
	get("/clients", "list-clients", clientsRead, (*api).listClients, "List clients, the oldest first"),
	post("/clients", "create-client", admin, (*api).createClient, "Make a client; its secret is shown this once"),
	get("/clients/{id}", "get-client", clientsRead, (*api).getClient, "Show a client"),
	patch("/clients/{id}", "update-client", admin, (*api).updateClient, "Change a client's scopes and trusted addresses, suspend it or resume it"),
	remove("/clients/{id}", "delete-client", admin, (*api).deleteClient, "Delete a client; its tokens end at once"),
	post("/clients/{id}/secret", "create-secret", admin, (*api).createSecret, "Give a client a new secret, which is shown this once; no token ends"),
	remove("/clients/{id}/secret", "delete-secret", admin, (*api).deleteSecret, "End a client's secrets, and all of its tokens"),
	get("/api-keys", "list-api-keys", keysRead, (*api).listAPIKeys, "List API keys, the oldest first"),
	post("/api-keys", "create-api-key", admin, (*api).createAPIKey, "Make an API key, which is shown this once"),
	get("/api-keys/{id}", "get-api-key", keysRead, (*api).getAPIKey, "Show an API key"),
	patch("/api-keys/{id}", "update-api-key", admin, (*api).updateAPIKey, "Change an API key's scopes and trusted addresses"),
	remove("/api-keys/{id}", "delete-api-key", admin, (*api).deleteAPIKey, "Delete an API key; it is refused at once"),
	get("/accounts", "list-accounts", accountsRead, (*api).listAccounts, "List accounts by name"),
	post("/accounts", "create-account", admin, (*api).createAccount, "Make an account"),
	get("/accounts/{name}", "get-account", accountsRead, (*api).getAccount, "Show an account"),
	patch("/accounts/{name}", "update-account", admin, (*api).updateAccount, "Change the time zone of an account"),
	get("/plans", "list-plans", plansRead, (*api).listPlans, "List the plans of the configuration by name"),
	get("/plans/{name}", "get-plan", plansRead, (*api).getPlan, "Show a plan of the configuration"),
	get("/users", "list-users", usersRead, (*api).listUsers, "List users, the oldest first"),
	post("/users", "create-user", admin, (*api).createUser, "Make a user"),
	get("/users/{id}", "get-user", usersRead, (*api).getUser, "Show a user"),
	patch("/users/{id}", "update-user", admin, (*api).updateUser, "Change a user's name, role or account, suspend or resume"),
	remove("/users/{id}", "delete-user", admin, (*api).deleteUser, "Delete a user; the account stays"),
}

// operation is one line of the API.
type operation struct {
	method, path, id string
	needs            permission
	summary          string
	status           int
	register         func(*api, huma.API, huma.Operation)
}

// serve is what does the work of an operation, for a caller who may use it.
type serve[I, O any] func(a *api, ctx context.Context, by *caller, in *I) (*O, error)

func get[I, O any](path, id string, needs permission, f serve[I, O], summary string) operation {
	return newOperation(http.MethodGet, path, id, needs, http.StatusOK, f, summary)
}

func post[I, O any](path, id string, needs permission, f serve[I, O], summary string) operation {
	return newOperation(http.MethodPost, path, id, needs, http.StatusCreated, f, summary)
}

func patch[I, O any](path, id string, needs permission, f serve[I, O], summary string) operation {
	return newOperation(http.MethodPatch, path, id, needs, http.StatusOK, f, summary)
}

func remove[I, O any](path, id string, needs permission, f serve[I, O], summary string) operation {
	return newOperation(http.MethodDelete, path, id, needs, http.StatusNoContent, f, summary)
}

func newOperation[I, O any](method, path, id string, needs permission, status int, f serve[I, O], summary string) operation {
	return operation{method, path, id, needs, summary, status, func(a *api, h huma.API, op huma.Operation) {
		huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
			call := ctx.Value(callKey{}).(*call)
			ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storeTimeout, errStoreSlow)
			defer cancel()
			out, err := f(a, ctx, call.by, in)
			if err != nil {
				return nil, call.ev.note(err)
			}
			return out, nil
		})
	}}
}

// maxBody is far beyond any request, in bytes.
const maxBody = 64 << 10

// register puts all operations on the mux and makes the OpenAPI file.
func (a *api) register() error {
	h := humago.New(a.mux, a.description())
	for _, o := range operations {
		op := huma.Operation{
			OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, DefaultStatus: o.status, MaxBodyBytes: maxBody + 1, // the library takes less than it says
			Tags: []string{strings.Split(o.path, "/")[1]}, Description: o.needs.description(),
			Security: []map[string][]string{{securityName: {string(o.needs)}}},
			Errors:   o.errors(),
		}
		o.register(a, h, op)
	}
	describeFormats(h.OpenAPI().Components.Schemas)
	a.describeOperations(h.OpenAPI())
	a.refuseOtherMethods()
	var err error
	if a.file, err = json.Marshal(h.OpenAPI()); err != nil {
		return fmt.Errorf("write the OpenAPI file: %w", err)
	}
	return nil
}

// errors are the statuses that an operation may answer with beside its own.
func (o *operation) errors() []int {
	list := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusServiceUnavailable, http.StatusTooManyRequests}
	if strings.Contains(o.path, "{") || o.method == http.MethodPost || o.method == http.MethodGet {
		list = append(list, http.StatusNotFound)
	}
	if o.method == http.MethodPost || o.method == http.MethodPatch {
		list = append(list, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if o.method == http.MethodPatch || o.method == http.MethodDelete {
		list = append(list, http.StatusPreconditionFailed, http.StatusConflict)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// pathFile is where the OpenAPI file is.
const pathFile = "/openapi.json"

// refuseOtherMethods answers 405 in the API's own words where a path has no such
// operation.
func (a *api) refuseOtherMethods() {
	methods := map[string][]string{pathFile: {http.MethodGet, http.MethodHead}}
	for _, o := range operations {
		methods[o.path] = append(methods[o.path], o.method)
		if o.method == http.MethodGet {
			methods[o.path] = append(methods[o.path], http.MethodHead)
		}
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		a.routes[strings.Split(path, "/")[1]] = true
		a.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, "this path takes "+allow))
		})
	}
	a.mux.HandleFunc("GET "+pathFile, a.serveFile)
}

func (a *api) serveFile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(a.file)
}
