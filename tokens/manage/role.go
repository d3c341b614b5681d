package manage

import (
	"slices"
	"strings"
)

// permission is what an operation needs: a scope of the caller's token.
type permission string

// The permissions. Whoever has one has it in his own account; the roles of staff have
// theirs in every account.
const (
	admin         permission = "tollgate:admin"
	tokensRead    permission = "tollgate:tokens:read"
	tokensWrite   permission = "tollgate:tokens:write"
	scopesRead    permission = "tollgate:scopes:read"
	walletRead    permission = "tollgate:wallet:read"
	statsRead     permission = "tollgate:stats:read"
	decisionsRead permission = "tollgate:decisions:read"
	clientsRead   permission = "tollgate:clients:read"
	keysRead      permission = "tollgate:api-keys:read"
	accountsRead  permission = "tollgate:accounts:read"
	plansRead     permission = "tollgate:plans:read"
	usersRead     permission = "tollgate:users:read"
)

// permissions says of each what it allows, for the OpenAPI file. What only administrators
// may do has no permission of its own: nobody can be given it by half.
var permissions = []struct {
	name permission
	says string
}{
	{admin, "administrator: everything, in every account"},
	{tokensRead, "see tokens"},
	{tokensWrite, "make, change, rotate and end tokens"},
	{scopesRead, "see the scopes that can be asked for"},
	{walletRead, "see the wallet"},
	{statsRead, "see statistics"},
	{decisionsRead, "see decisions about requests"},
	{clientsRead, "see clients"},
	{keysRead, "see API keys"},
	{accountsRead, "see accounts"},
	{plansRead, "see plans"},
	{usersRead, "see users"},
}

// role is a scope that stands for several permissions.
type role struct {
	scope      permission
	says       string
	can        []permission
	everywhere bool // in every account
}

// roles are what tokens.Role names for people, as scopes.
var roles = []role{
	{admin, "", nil, true}, // can everything
	{"tollgate:reviewer", "reviewer: sees everything, in every account", []permission{
		tokensRead, scopesRead, walletRead, statsRead, decisionsRead, clientsRead, keysRead, accountsRead, plansRead, usersRead,
	}, true},
	{"tollgate:viewer", "viewer: sees everything but users, in every account", []permission{
		tokensRead, scopesRead, walletRead, statsRead, decisionsRead, clientsRead, keysRead, accountsRead, plansRead,
	}, true},
	{"tollgate:developer", "developer: sees his own account, and makes tokens there", []permission{
		tokensRead, tokensWrite, scopesRead, walletRead, statsRead, decisionsRead, clientsRead, keysRead, accountsRead, plansRead,
	}, false},
}

// scopePrefix marks the scopes that this API gives a meaning to.
const scopePrefix = "tollgate:"

// powers are what the scopes of a token allow.
type powers struct {
	scopes     []string
	can        []permission
	admin      bool
	everywhere bool
}

func powersOf(scopes []string) powers {
	p := powers{scopes: scopes}
	for _, s := range scopes {
		if !strings.HasPrefix(s, scopePrefix) {
			continue
		}
		p.can = append(p.can, permission(s))
		for i := range roles {
			if r := &roles[i]; s == string(r.scope) {
				p.can = append(p.can, r.can...)
				p.everywhere = p.everywhere || r.everywhere
				p.admin = p.admin || r.scope == admin
			}
		}
	}
	return p
}

func (p *powers) may(needs permission) bool { return p.admin || slices.Contains(p.can, needs) }

// mayGrant reports whether a scope may be given to others: nobody grants tollgate: scopes
// that he lacks.
func (p *powers) mayGrant(scope string) bool {
	return p.admin || !strings.HasPrefix(scope, scopePrefix) || slices.Contains(p.scopes, scope) || slices.Contains(p.can, permission(scope)) && !isRole(scope)
}

func isRole(scope string) bool {
	return slices.ContainsFunc(roles, func(r role) bool { return string(r.scope) == scope })
}

// description says who may use an operation.
func (p permission) description() string {
	var may []string
	for i := range roles {
		if r := &roles[i]; r.scope == admin || slices.Contains(r.can, p) {
			may = append(may, strings.TrimPrefix(string(r.scope), scopePrefix))
		}
	}
	if p == admin {
		return "Needs the scope tollgate:admin: only administrators may do that."
	}
	return "Needs the scope " + string(p) + ", which the roles " + strings.Join(may, ", ") + " have."
}
