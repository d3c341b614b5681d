package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) keysCommand() *cobra.Command {
	return group("keys", "Rotate and list the signing keys", a.keysRotate(), a.keysList())
}

// keyView is a signing key as commands print it.
type keyView struct {
	ID            string `json:"kid"`
	Alg           string `json:"alg"`
	State         string `json:"state"` // next, signing, retired or skipped
	CreatedAt     string `json:"created_at"`
	SignsFrom     string `json:"signs_from"`
	VerifiesUntil string `json:"verifies_until,omitempty"`
}

// describeKeys takes keys the newest first.
func describeKeys(keys []*tokens.SigningKey, now time.Time) []keyView {
	views := []keyView{}
	signing := false
	for _, k := range keys {
		v := keyView{ID: k.ID, Alg: k.Alg, State: "retired", CreatedAt: k.CreatedAt.UTC().Format(time.RFC3339), SignsFrom: k.SignsFrom.UTC().Format(time.RFC3339)}
		switch {
		case now.Before(k.SignsFrom) && signing:
			v.State = "skipped" // a newer one signs already
		case now.Before(k.SignsFrom):
			v.State = "next"
		case !signing:
			v.State, signing = "signing", true
		}
		if !k.VerifiesUntil.IsZero() {
			v.VerifiesUntil = k.VerifiesUntil.UTC().Format(time.RFC3339)
		}
		views = append(views, v)
	}
	return views
}

func (a *app) keysRotate() *cobra.Command {
	var now bool
	c := a.outputFlag(&cobra.Command{
		Use: "rotate", Short: "Make a new signing key", Args: cobra.NoArgs,
		Long: fmt.Sprintf(`Make a new signing key. It is published at once and signs in %s, when everybody who
keeps the key set has fetched it again. The old key verifies until the last token
that it signed has expired.

--now lets it sign at once. Verifiers that keep the key set without fetching it for
an unknown kid then refuse new tokens for a while.`, publishAhead),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(c *config.Config, _ secrets, db *sqlite.DB) error {
				if c.Keys.SigningKey != "" {
					return usageError{fmt.Errorf("keys.signing_key names the key: replace %s and send SIGHUP to serve", c.Keys.SigningKey)}
				}
				ahead := publishAhead
				if now {
					ahead = 0
				}
				at := time.Now()
				_, err := db.RotateSigningKey(cmd.Context(), tokens.Rotation{
					Alg: c.Tokens.SigningAlgorithm, Random: rand.Reader, Now: at, Ahead: ahead, Lifetime: c.Tokens.AccessTTL,
				})
				if err != nil {
					return err
				}
				return a.printKeys(cmd.Context(), db)
			})
		},
	})
	c.Flags().BoolVar(&now, "now", false, "let the new key sign at once")
	return c
}

func (a *app) keysList() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: "list", Short: "List the signing keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error { return a.printKeys(cmd.Context(), db) })
			if errors.Is(err, errNoStore) && a.wantJSON() {
				return a.printJSON([]keyView{})
			}
			return err
		},
	})
}

func (a *app) printKeys(ctx context.Context, db *sqlite.DB) error {
	keys, err := db.SigningKeys(ctx)
	if err != nil {
		return err
	}
	return keyTable.print(a, describeKeys(keys, time.Now()))
}

// keyTable shows signing keys.
var keyTable = table[keyView]{
	"KID\tALG\tSTATE\tSIGNS FROM\tVERIFIES UNTIL",
	func(v keyView) []string {
		return []string{v.ID, v.Alg, v.State, v.SignsFrom, cmp.Or(v.VerifiesUntil, "-")}
	},
}

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy the store to a new file, also while serve runs", Args: cobra.ExactArgs(1),
		Long: `Copy the store to a new file, as it is at one moment, also while serve runs.

The copy is of use only together with keys.encryption_key and keys.pepper: keep those
too, apart from it. Without them in the configuration they are the files beside the
store whose names end in .encryption-key and .pepper.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				if err := db.Backup(cmd.Context(), args[0]); err != nil {
					return err
				}
				a.printf("copied the store to %s\n", args[0])
				return nil
			})
		},
	}
}
