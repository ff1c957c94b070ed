//go:build !fault

package fault

import "context"

// Request marks what is done for a request, for Passing. In this build it does nothing.
func Request(ctx context.Context) context.Context { return ctx }

// Passing is Point for what is done for a request, and not in the background. In this build it does nothing.
func Passing(context.Context, string) {}

// Point marks a place where a test may end the process. In this build it does nothing.
func Point(string) {}
