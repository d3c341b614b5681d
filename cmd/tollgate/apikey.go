package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) apiKeyCommand() *cobra.Command {
	return group("api-key", "Create, list and delete API keys", a.apiKeyCreate(), a.apiKeyList(), a.apiKeyDelete(), a.apiKeyMoves())
}

// apiKeyView is an API key as commands print it.
type apiKeyView struct {
	ID          string   `json:"id"`
	Key         string   `json:"api_key,omitempty"`
	Name        string   `json:"name"`
	Account     string   `json:"account"`
	Environment string   `json:"environment"`
	Plan        string   `json:"plan"`
	Scopes      []string `json:"scopes"`
	TrustedIPs  []string `json:"ip_allow"`
	APIs        []string `json:"apis,omitempty"`
	CreatedAt   string   `json:"created_at"`
	ExpiresAt   string   `json:"expires_at,omitempty"`
}

func describeAPIKey(k *tokens.APIKey) apiKeyView {
	v := apiKeyView{
		ID: k.ID, Name: k.Name, Account: k.Account, Environment: string(k.Environment), Plan: k.Plan, Scopes: append([]string{}, k.Scopes...),
		TrustedIPs: prefixTexts(k.TrustedIPs), APIs: k.APIs, CreatedAt: k.CreatedAt.UTC().Format(time.RFC3339),
	}
	if !k.ExpiresAt.IsZero() {
		v.ExpiresAt = k.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return v
}

// apiKeyFlags are what api-key create takes.
type apiKeyFlags struct {
	key         tokens.APIKey
	ips         []string
	environment string
	ttl         time.Duration
}

func (a *app) apiKeyCreate() *cobra.Command {
	var f apiKeyFlags
	c := a.outputFlag(&cobra.Command{
		Use: "create --name NAME", Short: "Create an API key; prints it, this once", Args: cobra.NoArgs,
		Long: `Create an API key and print it, this once. It opens APIs with auth: api_key or
auth: any, until its account uses OAuth 2.0 there.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("ip") && len(f.ips) == 0 {
				return usageError{errNoIP}
			}
			if cmd.Flags().Changed("ttl") && f.ttl == 0 {
				return usageError{errors.New("--ttl is 0: a time such as 720h is needed; leave the flag out for a key that works until it is deleted")}
			}
			return a.createAPIKey(cmd.Context(), &f)
		},
	})
	flags := c.Flags()
	flags.StringVar(&f.key.Name, "name", "", "`NAME` for people")
	flags.StringSliceVar(&f.key.Scopes, "scope", nil, "`SCOPE` that it has; several, or separated by commas")
	flags.StringSliceVar(&f.ips, "ip", nil, "trusted address or range (`CIDR`); none: anywhere")
	flags.StringSliceVar(&f.key.APIs, "api", nil, "`API` of the configuration that it opens; several (default: all that take API keys)")
	flags.StringVar(&f.key.Plan, "plan", "default", "`PLAN` of the configuration whose limits apply")
	flags.StringVar(&f.environment, "environment", "production", "`ENVIRONMENT`: production or sandbox")
	flags.StringVar(&f.key.Account, "account", tokens.DefaultAccount, "`ACCOUNT` it belongs to")
	flags.DurationVar(&f.ttl, "ttl", 0, "how long it works (`DURATION`; default: until it is deleted)")
	return c
}

func (a *app) createAPIKey(ctx context.Context, f *apiKeyFlags) error {
	k := &f.key
	var faults []error
	var err error
	k.TrustedIPs, err = parseIPs(f.ips)
	faults = append(faults, err)
	k.Environment, err = tokens.ParseEnvironment(f.environment)
	faults = append(faults, err)
	k.Scopes, k.CreatedAt = tidyScopes(k.Scopes), time.Now()
	switch {
	case f.ttl < 0:
		faults = append(faults, errors.New("--ttl is negative: a time such as 720h is needed"))
	case f.ttl > 0:
		k.ExpiresAt = k.CreatedAt.Add(f.ttl)
	}
	if err == nil {
		faults = append(faults, k.Validate()...)
	}
	if err := errors.Join(faults...); err != nil {
		return usageError{err}
	}
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := requirePlan(c, k.Plan); err != nil {
		return err
	}
	opens, err := apisFor(c, k.APIs)
	if err != nil {
		return err
	}
	return withStoreOf(ctx, c, func(_ *config.Config, _ secrets, db *sqlite.DB) error {
		key, hash, id, err := tokens.NewAPIKey(rand.Reader)
		if err != nil {
			return err
		}
		k.ID, k.Hash = id, hash
		if err := db.CreateAPIKey(ctx, k, opens); err != nil {
			return err
		}
		if err := a.warnOfMoves(ctx, db, k.Account, opens); err != nil {
			return err
		}
		if a.wantJSON() {
			view := describeAPIKey(k)
			view.Key = key.Reveal()
			return a.printJSON(view)
		}
		a.printf("id:      %s\napi_key: %s\n", id, key.Reveal())
		_, _ = fmt.Fprintln(a.err, "The key is shown this once: keep it now.")
		return nil
	})
}

// warnOfMoves names the APIs at which a new key is refused from the start.
func (a *app) warnOfMoves(ctx context.Context, db *sqlite.DB, account string, opens []string) error {
	moves, err := db.ListMoves(ctx)
	for _, m := range moves {
		if m.Account == account && slices.Contains(opens, m.API) {
			_, _ = fmt.Fprintf(a.err, "warning: the account %s uses OAuth 2.0 at the API %s: the key is refused there\n", account, m.API)
		}
	}
	return err
}

// apisFor returns the APIs that a key opens which is made for the named ones.
func apisFor(c *config.Config, named []string) ([]string, error) {
	all := keyAPIs(c)
	if len(all) == 0 {
		return nil, usageError{errors.New("no API of the configuration takes API keys: write auth: api_key or auth: any for one")}
	}
	for _, name := range named {
		if !slices.Contains(all, name) {
			return nil, usageError{fmt.Errorf("--api %q does not take API keys; there are: %s", name, strings.Join(all, ", "))}
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	return all, nil
}

// keyAPIs are the names of the APIs that take API keys.
func keyAPIs(c *config.Config) (names []string) {
	for i := range c.APIs {
		if c.APIs[i].TakesAPIKeys() {
			names = append(names, c.APIs[i].Name)
		}
	}
	return names
}

func (a *app) apiKeyList() *cobra.Command {
	return listing(a, "List the API keys", (*sqlite.DB).ListAPIKeys, describeAPIKey, table[apiKeyView]{
		"ID\tNAME\tACCOUNT\tENVIRONMENT\tPLAN\tSCOPES\tAPIS\tTRUSTED IPS\tCREATED\tEXPIRES",
		func(v apiKeyView) []string {
			return []string{v.ID, v.Name, v.Account, v.Environment, v.Plan, strings.Join(v.Scopes, ","),
				cmp.Or(strings.Join(v.APIs, ","), "all"), orAnywhere(v.TrustedIPs), v.CreatedAt, cmp.Or(v.ExpiresAt, "never")}
		},
	})
}

func (a *app) apiKeyDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete ID", Short: "Delete an API key; it is refused at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				if err := db.DeleteAPIKey(cmd.Context(), args[0], nil); err != nil {
					return err
				}
				a.printf("deleted %s; it is refused from now on\n", args[0])
				return nil
			})
		},
	}
}

// moveView is the mark that an account's API keys are refused at an API.
type moveView struct {
	Account string `json:"account"`
	API     string `json:"api"`
	Client  string `json:"client_id"`
	At      string `json:"at"`
}

func describeMove(m *tokens.Move) moveView {
	return moveView{m.Account, m.API, m.Client, m.At.UTC().Format(time.RFC3339)}
}

func (a *app) apiKeyMoves() *cobra.Command {
	list := listing(a, "List where API keys are refused because their account uses OAuth 2.0", (*sqlite.DB).ListMoves, describeMove, table[moveView]{
		"ACCOUNT\tAPI\tFIRST CLIENT\tSINCE", func(v moveView) []string { return []string{v.Account, v.API, v.Client, v.At} },
	})
	var id tokens.MoveID
	undo := &cobra.Command{
		Use: "undo --account ACCOUNT --api API", Short: "Accept an account's API keys at an API again", Args: cobra.NoArgs,
		Long: `Accept an account's API keys at an API again, until its next OAuth 2.0 request there.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if id.Account == "" || id.API == "" {
				return usageError{errors.New("--account and --api are needed; see: api-key moves list")}
			}
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				if err := db.DeleteMove(cmd.Context(), id); err != nil {
					return err
				}
				a.printf("API keys of %s are accepted at %s again\n", id.Account, id.API)
				return nil
			})
		},
	}
	undo.Flags().StringVar(&id.Account, "account", "", "`ACCOUNT` whose keys are refused")
	undo.Flags().StringVar(&id.API, "api", "", "`API` at which they are")
	return group("moves", "Where API keys gave way to OAuth 2.0", list, undo)
}
