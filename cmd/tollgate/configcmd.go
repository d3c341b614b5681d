package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Look at the configuration", a.outputFlag(&cobra.Command{
		Use: "check", Short: "Report every fault of the configuration at once", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.checkConfig() },
	}))
}

// checkConfig looks at all that serve would read of the configuration.
func (a *app) checkConfig() error {
	var faults []string
	c, found := config.Check(a.configFile, a.getenv)
	for _, fault := range found {
		faults = append(faults, fault.String())
	}
	if c != nil {
		if _, err := newPolicy(c, nil); err != nil {
			faults = strings.Split(err.Error(), "\n")
		}
	}
	if a.wantJSON() {
		report := struct {
			Good     bool     `json:"good"`
			Faults   []string `json:"faults"`
			Warnings []string `json:"warnings"`
		}{len(faults) == 0, append([]string{}, faults...), []string{}}
		if c != nil {
			report.Warnings = append(report.Warnings, c.Warnings...)
		}
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else {
		a.printFaults(c, faults)
	}
	if len(faults) > 0 {
		return silentError{}
	}
	return nil
}

func (a *app) printFaults(c *config.Config, faults []string) {
	for _, fault := range faults {
		_, _ = fmt.Fprintln(a.err, fault)
	}
	if c != nil {
		for _, w := range c.Warnings {
			_, _ = fmt.Fprintln(a.err, "warning:", w)
		}
	}
	if len(faults) == 0 {
		a.printf("%s is good\n", a.configFile)
	}
}
