package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/mail"
)

func mailCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Try the mail server",
	}
	cmd.AddCommand(mailTestCommand(open))
	return cmd
}

func mailTestCommand(open openFunc) *cobra.Command {
	var asJSON bool
	var language string
	cmd := &cobra.Command{
		Use:   "test ADDRESS",
		Short: "Send a mail to an address, now",
		Long: `Send a mail to an address, now, and tell what the mail server says of it. It goes past the queue: what does not
arrive has failed here. Whether it is read as unwanted mail shows in the mail box alone.`,
		Example: "  passport mail test you@example.com\n  passport mail test you@example.com --language es --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			err := a.mailer.Try(cmd.Context(), mail.Message{To: args[0], Language: language, Template: "test"})
			if errors.Is(err, mail.ErrRecipient) {
				return &usageError{fmt.Errorf("%q is no address that mail can be sent to", args[0])}
			}
			if err != nil {
				return fmt.Errorf("the mail was not sent: %w", err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"sent": true, "to": args[0], "server": a.mailer.Server()})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has taken the mail to %s.\n", a.mailer.Server(), args[0])
			return err
		}),
	}
	cmd.Flags().StringVar(&language, "language", "en", "of the mail, BCP 47")
	jsonFlag(cmd, &asJSON)
	return cmd
}
