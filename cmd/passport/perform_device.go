package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/passport-network/passport/pkg/outbound"
)

func performDeviceCommand() *cobra.Command {
	var p party
	var showQR bool
	cmd := &cobra.Command{
		Use:   "device-flow",
		Short: "The device grant, as a television would (RFC 8628)",
		Long: `The device grant, as a television would (RFC 8628).

It shows a code and an address to open on another device, waits until the person has allowed it, and prints the
tokens and what /userinfo says. The client must be registered for the grant type
urn:ietf:params:oauth:grant-type:device_code.`,
		Example: `  passport perform device-flow --client-id tv --qr
  passport perform device-flow --issuer https://passport.example --client-id tv --client-secret-file secret.txt --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.deviceFlow(cmd, showQR) },
	}
	p.flags(cmd)
	cmd.Flags().BoolVar(&showQR, "qr", false, "show the address as a QR code too")
	return cmd
}

func (p *party) deviceFlow(cmd *cobra.Command, showQR bool) error {
	ctx, cancel, err := p.discover(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	device, err := p.authorizeDevice(ctx)
	if err != nil {
		return err
	}
	tell(cmd, "On another device, open\n\n  %s\n\nand enter the code\n\n  %s\n", device.VerificationURI, device.UserCode)
	if showQR && device.VerificationURIComplete != "" {
		picture, err := drawQR(device.VerificationURIComplete)
		if err != nil {
			return err
		}
		tell(cmd, "or scan this, and compare the code:\n\n%s", picture)
	}
	tell(cmd, "Waiting until %s …", moment(device.Expiry))
	// It asks at the pace that the server names, and slower when it is told to (RFC 8628 §3.5).
	token, err := p.oauth.DeviceAccessToken(ctx, device)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("nobody allowed it in time")
	case err != nil:
		return fmt.Errorf("wait for the person: %w", err)
	}
	return p.report(ctx, cmd, token, "")
}

// authorizeDevice asks for a code (RFC 8628 §3.1). x/oauth2 would leave out the client's secret.
func (p *party) authorizeDevice(ctx context.Context) (*oauth2.DeviceAuthResponse, error) {
	var at struct {
		Endpoint string `json:"device_authorization_endpoint"`
	}
	if err := p.provider.Claims(&at); err != nil || at.Endpoint == "" {
		return nil, errors.New("the server names no device_authorization_endpoint")
	}
	form := url.Values{"scope": {strings.Join(p.scopes, " ")}}
	if len(p.resources) > 0 {
		form["resource"] = p.resources
	}
	basic := p.oauth.Endpoint.AuthStyle == oauth2.AuthStyleInHeader
	if !basic {
		form.Set("client_id", p.clientID)
		if p.oauth.ClientSecret != "" {
			form.Set("client_secret", p.oauth.ClientSecret)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("ask for a device code: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		req.SetBasicAuth(url.QueryEscape(p.clientID), url.QueryEscape(p.oauth.ClientSecret))
	}
	res, err := p.out.Do(req, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for a device code: %w (%s)", err, outbound.Reason(err))
	}
	if res.Status != http.StatusOK {
		return nil, fmt.Errorf("ask for a device code: the server answers %d: %s", res.Status, strings.TrimSpace(string(res.Body)))
	}
	var device oauth2.DeviceAuthResponse
	if err := json.Unmarshal(res.Body, &device); err != nil {
		return nil, fmt.Errorf("read the device code: %w", err)
	}
	return &device, nil
}

// quiet is the margin around a QR code, in modules: scanners want it.
const quiet = 2

// drawQR draws a code with half blocks, two rows of modules in a line of text.
func drawQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw the QR code: %w", err)
	}
	size := code.Bounds().Dx()
	light := func(x, y int) bool { return !dark(code, size, x-quiet, y-quiet) }
	var b strings.Builder
	for y := 0; y < size+2*quiet; y += 2 {
		b.WriteString("  ")
		for x := range size + 2*quiet {
			switch up, down := light(x, y), light(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

func dark(code barcode.Barcode, size, x, y int) bool {
	if x < 0 || y < 0 || x >= size || y >= size {
		return false
	}
	r, _, _, _ := code.At(x, y).RGBA()
	return r == 0
}
