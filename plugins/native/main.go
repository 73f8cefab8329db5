// Command patchbay-adapter-native serves clients of Google Agent Assist to a patchbay host.
package main

import (
	"github.com/patchbay/patchbay/adapters/native"
	"github.com/patchbay/patchbay/adapters/native/sim"
	"github.com/patchbay/patchbay/core/plug"
)

func main() {
	plug.Serve("native", native.DefaultConfig(), native.New, plug.WithRelay(), plug.WithSimulator(sim.Main))
}
