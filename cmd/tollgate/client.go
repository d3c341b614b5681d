package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

func (a *app) clientCommand() *cobra.Command {
	return group("client", "Create, list, change and delete clients", a.clientCreate(), a.clientList(), a.clientUpdate(), a.clientDelete(),
		a.clientSuspend(), a.clientResume(), a.clientSecret())
}

// requireStore refuses to make a store where somebody only wants to look: run by
// another user, it would be one that serve cannot open.
func requireStore(c *config.Config) error {
	if _, err := os.Stat(c.Store.SQLite); errors.Is(err, fs.ErrNotExist) && !c.Store.Memory {
		return fmt.Errorf("%w at %s; serve or client create makes it", errNoStore, c.Store.SQLite)
	}
	return nil
}

var errNoStore = errors.New("there is no store yet")

// withStore runs f on the configured store, beside a running serve.
func (a *app) withStore(ctx context.Context, f func(*config.Config, secrets, *sqlite.DB) error) error {
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := requireStore(c); err != nil {
		return err
	}
	return withStoreOf(ctx, c, f)
}

// withStoreOf makes the store when there is none.
func withStoreOf(ctx context.Context, c *config.Config, f func(*config.Config, secrets, *sqlite.DB) error) error {
	if c.Store.Memory {
		return errMemoryStore
	}
	secret, err := loadSecrets(c, rand.Reader)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: c.Store.SQLite, KEK: secret.encryption, Now: time.Now})
	if err != nil {
		return err
	}
	return errors.Join(f(c, secret, db), db.Close())
}

// clientFlags are what client create takes.
type clientFlags struct {
	client      tokens.Client
	ips         []string
	environment string
	format      string
}

func (a *app) clientCreate() *cobra.Command {
	var f clientFlags
	c := a.outputFlag(&cobra.Command{
		Use: "create --name NAME --scope SCOPE...", Short: "Create a client; prints its secret, this once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("ip") && len(f.ips) == 0 {
				return usageError{errNoIP}
			}
			if cmd.Flags().Changed("token-ttl") && f.client.TokenTTL == 0 {
				return usageError{errors.New("--token-ttl is 0: a time such as 15m is needed; leave the flag out for tokens.access_ttl")}
			}
			return a.createClient(cmd.Context(), &f)
		},
	})
	flags := c.Flags()
	flags.StringVar(&f.client.Name, "name", "", "`NAME` for people")
	flags.StringSliceVar(&f.client.Scopes, "scope", nil, "`SCOPE` that its tokens may carry; several, or separated by commas")
	flags.StringSliceVar(&f.ips, "ip", nil, "trusted address or range (`CIDR`); none: anywhere")
	flags.DurationVar(&f.client.TokenTTL, "token-ttl", 0, "lifetime of its tokens (default: tokens.access_ttl)")
	flags.StringVar(&f.client.Plan, "plan", "default", "`PLAN` of the configuration whose limits apply")
	flags.StringVar(&f.environment, "environment", "production", "`ENVIRONMENT`: production or sandbox")
	flags.StringVar(&f.client.Alias, "alias", "", "`ALIAS` that may stand for the client ID")
	flags.StringVar(&f.client.Account, "account", tokens.DefaultAccount, "`ACCOUNT` it belongs to")
	flags.StringVar(&f.format, "format", "", "`FORMAT` of its tokens: jwt, opaque or classic (short credentials, with refresh tokens; default: tokens.format)")
	flags.BoolVar(&f.client.Refresh, "refresh", false, "give refresh tokens along with access tokens")
	return c
}

func (a *app) createClient(ctx context.Context, f *clientFlags) error {
	var faults []error
	f.client.Format = tokens.Format(f.format)
	f.client.Refresh = f.client.Refresh || f.client.Format == tokens.Classic
	var err error
	f.client.TrustedIPs, err = parseIPs(f.ips)
	faults = append(faults, err)
	f.client.Environment, err = tokens.ParseEnvironment(f.environment)
	faults = append(faults, err)
	f.client.Scopes = tidyScopes(f.client.Scopes)
	if err == nil {
		faults = append(faults, f.client.Validate()...)
	}
	if err := errors.Join(faults...); err != nil {
		return usageError{err}
	}
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := requirePlan(c, f.client.Plan); err != nil {
		return err
	}
	return withStoreOf(ctx, c, func(_ *config.Config, s secrets, db *sqlite.DB) error {
		id, secret, err := tokens.NewCredential(f.client.Format, rand.Reader)
		if err != nil {
			return err
		}
		f.client.ID, f.client.CreatedAt, f.client.Generation = id, time.Now(), 1
		f.client.Secrets = []tokens.ClientSecret{{Generation: 1, Hash: s.pepper.Hash(secret)}}
		if err := db.CreateClient(ctx, &f.client); err != nil {
			return err
		}
		if a.wantJSON() {
			view := describeClient(&f.client)
			view.Secret = secret.Reveal()
			return a.printJSON(view)
		}
		a.printf("client_id:     %s\nclient_secret: %s\n", id, secret.Reveal())
		_, _ = fmt.Fprintln(a.err, "The secret is shown this once: keep it now.")
		return nil
	})
}

// errNoIP keeps an unset variable from opening a client to the whole world.
var errNoIP = errors.New("--ip is empty: an address or range is needed; leave the flag out of create, or say update --anywhere, to trust every address")

// requirePlan asks that a plan is configured.
func requirePlan(c *config.Config, plan string) error {
	if c.Plans[plan] == nil {
		return usageError{fmt.Errorf("--plan %q is not configured; there are: %s", plan, strings.Join(slices.Sorted(maps.Keys(c.Plans)), ", "))}
	}
	return nil
}

// tidyScopes takes "a b" for two scopes, sorts them and drops repetitions.
func tidyScopes(list []string) []string {
	scopes := strings.Fields(strings.Join(list, " "))
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

func parseIPs(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	var faults []error
	for _, s := range list {
		p, err := tokens.ParseTrustedIP(s)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, errors.Join(faults...)
}

// clientView is a client as commands print it, in the words of contract section 5.
type clientView struct {
	ID          string   `json:"client_id"`
	Secret      string   `json:"client_secret,omitempty"`
	Name        string   `json:"name"`
	Alias       string   `json:"alias,omitempty"`
	Account     string   `json:"account"`
	Environment string   `json:"environment"`
	Plan        string   `json:"plan"`
	Scopes      []string `json:"scopes"`
	TrustedIPs  []string `json:"ip_allow"`
	TokenTTL    int64    `json:"token_ttl,omitempty"`
	Format      string   `json:"format,omitempty"`
	Refresh     bool     `json:"refresh"`
	Status      string   `json:"status"`
	CreatedAt   string   `json:"created_at"`
}

func describeClient(c *tokens.Client) clientView {
	v := clientView{
		ID: c.ID, Name: c.Name, Alias: c.Alias, Account: c.Account, Environment: string(c.Environment), Plan: c.Plan,
		Scopes: c.Scopes, TrustedIPs: prefixTexts(c.TrustedIPs), Format: string(c.Format), Refresh: c.Refresh, Status: "active", TokenTTL: int64(c.TokenTTL.Seconds()), CreatedAt: c.CreatedAt.UTC().Format(time.RFC3339),
	}
	switch {
	case c.Suspended:
		v.Status = "suspended"
	case len(c.Secrets) == 0:
		v.Status = "without secret"
	}
	return v
}

func prefixTexts(list []netip.Prefix) []string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return texts
}

// orAnywhere is how a list of trusted addresses is shown.
func orAnywhere(ips []string) string {
	if len(ips) == 0 {
		return "anywhere"
	}
	return strings.Join(ips, ",")
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// clientTable shows clients.
var clientTable = table[clientView]{
	"CLIENT ID\tNAME\tSTATUS\tACCOUNT\tENVIRONMENT\tPLAN\tSCOPES\tTRUSTED IPS\tCREATED",
	func(v clientView) []string {
		return []string{v.ID, v.Name, v.Status, v.Account, v.Environment, v.Plan, strings.Join(v.Scopes, ","), orAnywhere(v.TrustedIPs), v.CreatedAt}
	},
}

func (a *app) clientList() *cobra.Command {
	return listing(a, "List the clients", (*sqlite.DB).ListClients, describeClient, clientTable)
}

// printClient shows one client: in JSON alone, not as a list.
func (a *app) printClient(c *tokens.Client) error {
	if a.wantJSON() {
		return a.printJSON(describeClient(c))
	}
	return clientTable.print(a, []clientView{describeClient(c)})
}

func (a *app) clientUpdate() *cobra.Command {
	var scopes, ips []string
	var anywhere bool
	c := a.outputFlag(&cobra.Command{
		Use: "update CLIENT", Short: "Change a client's scopes and trusted addresses", Args: cobra.ExactArgs(1),
		Long: `Change a client's scopes and trusted addresses; each list replaces the old one.
Name, plan, environment and token lifetime are fixed when a client is made.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			newScopes, newIPs := cmd.Flags().Changed("scope"), cmd.Flags().Changed("ip") || anywhere
			prefixes, err := parseIPs(ips)
			if err != nil {
				return usageError{err}
			}
			for _, name := range fixedFlags {
				if cmd.Flags().Changed(name) {
					return usageError{fmt.Errorf("--%s of a client is fixed when it is made; only scopes (--scope) and trusted addresses (--ip) can be changed", name)}
				}
			}
			switch {
			case !newScopes && !newIPs:
				return usageError{errors.New("nothing to change: give --scope, --ip or --anywhere; name and duration of a client are fixed")}
			case cmd.Flags().Changed("ip") && len(ips) == 0:
				return usageError{errNoIP}
			case anywhere && len(ips) > 0:
				return usageError{errors.New("--anywhere and --ip contradict each other")}
			}
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				client, err := db.EditClient(cmd.Context(), args[0], func(c *tokens.Client) error {
					if newScopes {
						c.Scopes = tidyScopes(scopes)
					}
					if newIPs {
						c.TrustedIPs = prefixes
					}
					return nil
				})
				if err != nil {
					return err
				}
				return a.printClient(client)
			})
		},
	})
	c.Flags().StringSliceVar(&scopes, "scope", nil, "`SCOPE` that its tokens may carry; several, or separated by commas")
	c.Flags().StringSliceVar(&ips, "ip", nil, "trusted address or range (`CIDR`)")
	c.Flags().BoolVar(&anywhere, "anywhere", false, "trust every address again")
	for _, name := range fixedFlags {
		c.Flags().String(name, "", "")
		_ = c.Flags().MarkHidden(name) // only fails for a flag that is not there
	}
	return c
}

// fixedFlags are those of client create that client update answers with a reason
// (row I2).
var fixedFlags = []string{"name", "token-ttl", "plan", "environment", "alias", "account", "format", "refresh"}

func (a *app) clientDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete CLIENT", Short: "Delete a client; its tokens end at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(_ *config.Config, _ secrets, db *sqlite.DB) error {
				if err := db.DeleteClient(cmd.Context(), args[0], nil); err != nil {
					return err
				}
				a.printf("deleted %s; its tokens are refused from now on\n", args[0])
				return nil
			})
		},
	}
}
