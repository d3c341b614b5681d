// Command tollgate decides about requests for Envoy and issues the tokens that
// they carry. This package owns the commands and the wiring; it is the only
// place that knows every other package.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	_ "time/tzdata" // an image from scratch has no time zones

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=…).
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, os.LookupEnv))
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Exit statuses (contract section 1).
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is the caller's fault: the exit status is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError fails without a message of its own: all was said already.
type silentError struct{}

func (silentError) Error() string { return "failed" }

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, s streams, getenv func(string) (string, bool)) int {
	root := newRoot(&app{streams: s, getenv: getenv})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(silentError)):
		return exitFailure
	case errors.As(err, &usage):
		_, _ = fmt.Fprintf(s.err, "tollgate: error: %v\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(s.err, "tollgate: error: %v\n", err)
	return exitFailure
}

// app is what all commands share.
type app struct {
	streams
	getenv     func(string) (string, bool)
	configFile string
	output     string
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "tollgate",
		Short:         "External authorization for Envoy: JWTs, scopes, limits, and the tokens themselves",
		SilenceErrors: true, SilenceUsage: true,
		Args: subcommandNeeded, RunE: showHelp,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.PersistentFlags().StringVar(&a.configFile, "config", "tollgate.yaml", "configuration `FILE`")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(a.serveCommand(), a.demoCommand(), a.clientCommand(), a.accountCommand(), a.userCommand(), a.apiKeyCommand(), a.tokenCommand(), a.usageCommand(), a.statsCommand(), a.walletCommand(), a.lockoutCommand(), a.keysCommand(), a.backupCommand(),
		a.configCommand(), a.explainCommand(), a.decisionsCommand(), a.envoyCommand(), a.versionCommand())
	for _, c := range root.Commands() {
		usageFaults(c)
	}
	return root
}

// usageFaults makes every complaint about arguments a usage error.
func usageFaults(c *cobra.Command) {
	check := c.Args
	if check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageFaults(sub)
	}
}

// subcommandNeeded refuses words that are no command.
func subcommandNeeded(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return usageError{fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint)}
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: subcommandNeeded, RunE: showHelp}
	c.AddCommand(commands...)
	return c
}

// printf writes to standard output. A reader that has gone away (a closed pipe)
// is not a fault of ours to report.
func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format, args...) }

// outputFlag adds --output, checked by wantJSON.
func (a *app) outputFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&a.output, "output", "text", "`FORMAT` of what is printed: text or json")
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if a.output != "text" && a.output != "json" {
			return usageError{fmt.Errorf("--output %q is unknown: text or json", a.output)}
		}
		return run(cmd, args)
	}
	return c
}

func (a *app) wantJSON() bool { return a.output == "json" }

func (a *app) versionCommand() *cobra.Command {
	return a.outputFlag(&cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.wantJSON() {
				return a.printJSON(map[string]string{"version": version, "go": runtime.Version()})
			}
			a.printf("tollgate %s\n", version)
			return nil
		},
	})
}
