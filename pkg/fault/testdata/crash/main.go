// Command crash passes the point "test.point" five times and says so.
package main

import (
	"fmt"

	"github.com/passport-network/passport/pkg/fault"
)

func main() {
	for n := range 5 {
		fmt.Println(n + 1)
		fault.Point("test.other")
		fault.Point("test.point")
	}
}
