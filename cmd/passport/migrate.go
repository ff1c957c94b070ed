package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/storage"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date, or tell where it stands",
		Long: `Bring the database's schema up to date, or tell where it stands.

"passport serve" does it at its start too; of servers that start together one does it and the others wait.`,
	}
	cmd.PersistentFlags().Bool("json", false, "answer in JSON")
	cmd.AddCommand(
		&cobra.Command{
			Use: "up", Short: "Apply what is missing", Args: cobra.NoArgs, Example: "  passport migrate up",
			RunE: func(cmd *cobra.Command, _ []string) error { return migrations(cmd, true) },
		},
		&cobra.Command{
			Use: "status", Short: "List every migration", Args: cobra.NoArgs, Example: "  passport migrate status --json",
			RunE: func(cmd *cobra.Command, _ []string) error { return migrations(cmd, false) },
		},
	)
	return cmd
}

func migrations(cmd *cobra.Command, up bool) (err error) {
	cfg, err := load(cmd)
	if err != nil {
		return err
	}
	if err := prepare(cfg); err != nil {
		return err
	}
	store, err := storage.Open(cmd.Context(), cfg.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if up {
		if err := store.Migrate(cmd.Context()); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	list, err := store.MigrationStatus(cmd.Context())
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return writeJSON(cmd.OutOrStdout(), list)
	}
	for _, m := range list {
		state := "missing"
		if m.Applied {
			state = "applied " + m.At.Format(time.RFC3339)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%05d %-30s %s\n", m.Version, m.Name, state)
	}
	return nil
}
