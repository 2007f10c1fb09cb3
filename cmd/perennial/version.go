package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/internal/build"
)

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return printJSON(build.Describe())
			}
			fmt.Println(build.Describe())
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
