// Command patchbay-adapter-five9 serves Five9 VoiceStream to a patchbay host.
package main

import (
	"github.com/patchbay/patchbay/adapters/five9"
	"github.com/patchbay/patchbay/adapters/five9/sim"
	"github.com/patchbay/patchbay/core/plug"
)

func main() {
	plug.Serve("five9", five9.DefaultConfig(), five9.New, plug.WithSimulator(sim.Main))
}
