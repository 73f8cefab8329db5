// Command patchbay-adapter-audiohook serves Genesys AudioHook to a patchbay host.
package main

import (
	"github.com/patchbay/patchbay/adapters/audiohook"
	"github.com/patchbay/patchbay/adapters/audiohook/sim"
	"github.com/patchbay/patchbay/core/plug"
)

func main() {
	plug.Serve("audiohook", audiohook.DefaultConfig(), audiohook.New, plug.WithSimulator(sim.Main))
}
