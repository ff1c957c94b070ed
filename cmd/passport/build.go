package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/config"
	"github.com/passport-network/passport/storage"
)

// app is the wired program: what the subcommands work with.
type app struct {
	cfg    *config.Config
	logger *slog.Logger
	store  *storage.Store
}

// openFunc opens the app of a command; the command closes it.
type openFunc func(cmd *cobra.Command) (*app, error)
