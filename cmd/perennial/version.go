package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/internal/build"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			fmt.Println(build.String())
			return nil
		},
	}
}
