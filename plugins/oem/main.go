// Command patchbay-adapter-oem serves SIP recording systems to a patchbay host.
package main

import (
	"github.com/patchbay/patchbay/adapters/oem"
	"github.com/patchbay/patchbay/adapters/oem/sim"
	"github.com/patchbay/patchbay/core/plug"
)

func main() {
	plug.Serve("oem", oem.DefaultConfig(), oem.New, plug.WithSimulator(sim.Main))
}
