package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// table is how records are printed: as views in JSON, or a row for each.
type table[V any] struct {
	columns string // separated by tabs, as row does
	row     func(V) []string
}

// print writes the views in the form that --output asks for.
func (t table[V]) print(a *app, views []V) error {
	if a.wantJSON() {
		return a.printJSON(views)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, t.columns)
	for _, v := range views {
		_, _ = fmt.Fprintln(w, strings.Join(t.row(v), "\t"))
	}
	return w.Flush()
}

// listing makes the command that lists records of a kind. A store that is not there
// yet has none.
func listing[R, V any](a *app, short string, read func(*sqlite.DB, context.Context) ([]R, error), describe func(R) V, t table[V]) *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: "list", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			views := []V{}
			err := a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				records, err := read(db, cmd.Context())
				for _, r := range records {
					views = append(views, describe(r))
				}
				return err
			})
			if err != nil && !errors.Is(err, errNoStore) {
				return err
			}
			return t.print(a, views)
		},
	})
}
