package logline_test

import (
	"fmt"
	"net/netip"

	"goinetd/config"
	"goinetd/inetd/logline"
)

func ExampleFail() {
	from := netip.MustParseAddrPort("192.0.2.7:40113")
	fmt.Printf("%s\n", logline.Fail(nil, "echo", config.LogHost|config.LogPort, "per_source_limit", "", from))
	// Output: FAIL: echo per_source_limit from=192.0.2.7 port=40113
}
