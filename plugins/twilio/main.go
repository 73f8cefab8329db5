// Command patchbay-adapter-twilio serves Twilio Media Streams to a patchbay host.
package main

import (
	"github.com/patchbay/patchbay/adapters/twilio"
	"github.com/patchbay/patchbay/adapters/twilio/sim"
	"github.com/patchbay/patchbay/core/plug"
)

func main() {
	plug.Serve("twilio", twilio.DefaultConfig(), twilio.New, plug.WithSimulator(sim.Main))
}
