package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/assist"
	"github.com/patchbay/patchbay/core/config"
	"github.com/patchbay/patchbay/core/emulator"
	"github.com/patchbay/patchbay/core/telemetry"
)

func runCommand(env environment) *cobra.Command {
	var file string
	var check, live bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the host: take calls and help their agents",
		Long: `Runs the host by a configuration file. Without one it runs on this machine alone:
the Twilio adapter and the API on loopback, in front of the local emulator.

  patchbay run                              try it; it prints how to call it
  patchbay run -c patchbay.yml --check      find every mistake in the file, start nothing
  patchbay run -c patchbay.yml --check --live
                                            try each route at Google with a conversation
                                            of a few seconds: roles, profile, language
  patchbay run -c patchbay.yml              serve until interrupted`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			begun := time.Now()
			switch {
			case live && !check:
				return usageError{errors.New("--live goes with --check")}
			case check && file == "":
				return usageError{errors.New("--check needs a file: -c patchbay.yml")}
			case file == "":
				return runLocal(cmd, begun)
			}
			cfg, err := config.Load(file, env.lookup)
			if err != nil {
				return err
			}
			if check {
				return checkConfig(cmd, env, cfg, live)
			}
			log, err := telemetry.NewLogger(cmd.ErrOrStderr(), cfg.Log.Level, telemetry.Format(cfg.Log.Format))
			if err != nil {
				return err
			}
			beFrugal(env)
			n, err := newNode(cfg, assist.Options{}, log)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), n, log, begun, nil)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "config", "c", "", "configuration `FILE`")
	f.BoolVar(&check, "check", false, "check the configuration and each plugin's settings, and exit")
	f.BoolVar(&live, "live", false, "with --check: try every route at Google")
	return cmd
}

// beFrugal has garbage collected earlier than Go would by itself, unless GOGC says when. A
// host makes little garbage, so that costs less time than it saves memory: about a tenth
// of a call's.
func beFrugal(env environment) {
	if _, set := env.lookup("GOGC"); !set {
		debug.SetGCPercent(50)
	}
}

// serve runs a node and says when it is ready; then it calls ready, if any.
func serve(ctx context.Context, n *node, log *slog.Logger, begun time.Time, ready func()) error {
	waiting, stop := context.WithCancel(ctx)
	said := make(chan struct{})
	go func() {
		defer close(said)
		if n.ready(waiting) == nil {
			log.Info("ready", "api", n.ln.Addr().String(), "adapters", len(n.plugins), "after", time.Since(begun).Round(time.Millisecond))
			if ready != nil {
				ready()
			}
		}
	}()
	err := n.run(ctx)
	stop()
	<-said
	return err
}

// The built-in configuration of a laptop: everything on loopback.
const (
	localAccount = "AC00000000000000000000000000000001"
	localAPI     = "127.0.0.1:8080"
	localTwilio  = "127.0.0.1:8081"
	localConfig  = `
api: {listen: "%s"}
google: {project: local, location: global, endpoint: "%s", insecure: true}
adapters:
  - name: twilio
    plugin: twilio
    listen: {http: "%s"}
    settings:
      public_url: "%s"
      accounts:
        - {sid: %s, auth_token: "env:PATCHBAY_LOCAL_TOKEN", stream_secrets: ["env:PATCHBAY_LOCAL_SECRET"]}
routes:
  - {match: {}, profile: demo}
limits: {grace: %s}
spool: {off: true}
`
)

// localSettings are what differs between the uses of the built-in configuration.
type localSettings struct {
	api, google, twilio string // addresses
	public              string // URL that the simulator signs
	token, secret       string
	grace               time.Duration
}

func (s localSettings) config() (*config.Config, error) {
	text := fmt.Sprintf(localConfig, s.api, s.google, s.twilio, s.public, localAccount, s.grace)
	secrets := map[string]string{"PATCHBAY_LOCAL_TOKEN": s.token, "PATCHBAY_LOCAL_SECRET": s.secret}
	return config.Parse([]byte(text), "built-in configuration", config.Secrets{LookupEnv: func(name string) (string, bool) {
		v, ok := secrets[name]
		return v, ok
	}})
}

// freeAddress returns an address of this machine that can be had now: preferred, or
// one with a free port.
func freeAddress(preferred string) string {
	ln, err := net.Listen("tcp", preferred)
	if err != nil {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return preferred // the host will say what is wrong
		}
	}
	defer func() { _ = ln.Close() }() // it held the address only
	return ln.Addr().String()
}

// runLocal runs the host in front of its own emulator. Its secrets live as long as
// it does, and are printed.
func runLocal(cmd *cobra.Command, begun time.Time) error {
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), "info", telemetry.FormatAuto)
	if err != nil {
		return err
	}
	e, err := startEmulator(emulator.DefaultConfig(), "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := localSettings{
		api: freeAddress(localAPI), google: e.addr, twilio: freeAddress(localTwilio),
		token: rand.Text(), secret: rand.Text(), grace: config.Default().Limits.Grace,
	}
	s.public = "http://" + s.twilio + "/twilio"
	clients := "" // what the client must know
	if s.api != localAPI {
		clients = "  export " + envAPI + "=http://" + s.api + "\n"
	}
	cfg, err := s.config()
	if err != nil {
		return errors.Join(err, e.stop())
	}
	n, err := newNode(cfg, assist.Options{}, log)
	if err != nil {
		return errors.Join(err, e.stop())
	}
	program := os.Args[0]
	err = serve(cmd.Context(), n, log, begun, func() {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), `No configuration file: this is a trial on this machine alone, in front of the local
Agent Assist emulator. Call it from a second terminal:

  export TOKEN=%[1]s SECRET=%[2]s
  %[3]s simulate twilio --stream ws://%[5]s/twilio/stream \
    --account %[4]s --auth-token env:TOKEN --secret env:SECRET \
    --tones amber,basil/cedar,delta --duration 1m

and look from a third while the call lasts:

%[6]s  %[3]s calls list
  %[3]s calls watch

Ctrl-C ends it. For real calls write a file and start with -c: the README has one.
`, s.token, s.secret, program, localAccount, s.twilio, clients)
	})
	return errors.Join(err, e.stop())
}
