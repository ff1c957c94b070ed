package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/passport-network/passport/pkg/audit"
	"github.com/passport-network/passport/pkg/limit"
)

func limitCommand(open openFunc) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limit",
		Short: "How many tries an account or a network has left",
		Long: `How many tries an account or a network has left.

WHO is an account (e-mail address, id or sub), an address that nobody has, or an IP address.
Not shown: the limit that an account has in each browser that it was signed in to from.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(limitShowCommand(open), limitClearCommand(open))
	return cmd
}

func limitShowCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show WHO",
		Short:   "Show what is left of each limit",
		Example: "  passport limit show alice@example.com\n  passport limit show 203.0.113.7 --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			_, budgets, err := a.budgets(cmd, args[0])
			if err != nil {
				return err
			}
			return a.printLimits(cmd, budgets, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func limitClearCommand(open openFunc) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "clear WHO",
		Short: "Give all tries back",
		Long: `Give all tries back, at once and on every replica; an account that had a hundred wrong passwords in a row
takes its own again in every browser. Whoever guesses passwords gets them too: see first, by
"passport limit show", that it is worth it.`,
		Example: "  passport limit clear alice@example.com\n  passport limit clear 203.0.113.7 --json",
		Args:    cobra.ExactArgs(1),
		RunE: withApp(open, func(cmd *cobra.Command, a *app, args []string) error {
			event, budgets, err := a.budgets(cmd, args[0])
			if err != nil {
				return err
			}
			for _, b := range budgets {
				if err := a.limits.Clear(cmd.Context(), b.Rule, b.Key...); err != nil {
					return err
				}
			}
			if event.Subject != "" {
				if err := a.accounts.ForgetGuesses(cmd.Context(), event.Subject); err != nil {
					return err
				}
			}
			if err := a.store.Record(cmd.Context(), event); err != nil {
				return fmt.Errorf("the limits are cleared, but it was not recorded: %w", err)
			}
			return a.printLimits(cmd, budgets, asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// budgets finds whom the command is about, and the event of clearing them: about the account, or naming the wider network,
// or the domain of an address that nobody has (the address itself is not kept).
func (a *app) budgets(cmd *cobra.Command, who string) (cleared audit.Event, budgets []limit.Budget, err error) {
	cleared = audit.Event{Event: audit.LimitCleared, ActorKind: audit.ActorOperator}
	if ip, err := netip.ParseAddr(who); err == nil {
		_, wide := a.limits.Network(ip)
		cleared.Detail = map[string]any{"network": wide}
		return cleared, a.limits.Networks(ip), nil
	}
	cleared.Subject, budgets, err = a.accounts.Budgets(cmd.Context(), who)
	if err != nil {
		return audit.Event{}, nil, accountError(who, err)
	}
	if cleared.Subject == "" {
		_, domain, _ := strings.Cut(who, "@")
		cleared.Detail = map[string]any{"domain": domain}
	}
	return cleared, budgets, nil
}

func (a *app) printLimits(cmd *cobra.Command, budgets []limit.Budget, asJSON bool) error {
	uses, err := a.limits.Show(cmd.Context(), budgets...)
	if err != nil {
		return err
	}
	if asJSON {
		type use struct {
			Limit   string `json:"limit"`
			Of      string `json:"of"`
			Left    int    `json:"left"`
			Burst   int    `json:"burst"`
			WholeIn int    `json:"whole_in"` // seconds
		}
		out := make([]use, len(uses))
		for i, u := range uses {
			out[i] = use{u.Rule, u.Of, u.Left, u.Burst, int(u.Whole.Round(time.Second).Seconds())}
		}
		return writeJSON(cmd.OutOrStdout(), out)
	}
	return printTable(cmd.OutOrStdout(), "LIMIT\tOF\tLEFT\tWHOLE AGAIN IN", func(w io.Writer) {
		for _, u := range uses {
			whole := "-"
			if u.Whole > 0 {
				whole = u.Whole.Round(time.Second).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\n", u.Rule, u.Of, u.Left, u.Burst, whole)
		}
	})
}
