package sqlite

import (
	"math"

	"github.com/tollgate-authz/tollgate/tokens"
)

// byCreation is the order of lists and pages. Records made in the same microsecond
// stand by ID.
const byCreation = `ORDER BY created_at, id`

// page selects at most limit records by creation, after a position: an account's, or
// all without one. It is found by an index, however far into the table it lies.
func page(account string, after tokens.Position, limit int) (where string, args []any) {
	at := int64(math.MinInt64)
	if !after.IsZero() {
		at = micros(after.At)
	}
	where, args = `WHERE (created_at, id) > (?, ?)`, []any{at, after.ID}
	if account != "" {
		where, args = where+` AND account = ?`, append(args, account)
	}
	return where + ` ` + byCreation + ` LIMIT ?`, append(args, max(0, limit))
}

// accountsPage is page for accounts, which stand by name.
func accountsPage(account string, after tokens.Position, limit int) (where string, args []any) {
	where, args = `WHERE name > ?`, []any{after.ID}
	if account != "" {
		where, args = where+` AND name = ?`, append(args, account)
	}
	return where + ` ORDER BY name LIMIT ?`, append(args, max(0, limit))
}
