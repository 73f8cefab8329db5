package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/api/sse"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/config"
)

// The environment variables of the client, and what holds without them.
const (
	envAPI     = "PATCHBAY_API"
	envToken   = "PATCHBAY_TOKEN"
	defaultAPI = "http://127.0.0.1:8080"
)

// callsClient is what the calls commands share.
type callsClient struct {
	env     environment
	address string
	token   string // a reference
	json    bool
}

func callsCommand(env environment) *cobra.Command {
	c := &callsClient{env: env}
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "Look at the calls of a running patchbay, and steer them",
		Long: `Speaks to the API of a running patchbay. CALL is patchbay's id of a call, the
vendor's, or that of the conversation.

  patchbay calls list                     who is on the line
  patchbay calls watch                    what is said and suggested in the newest call
  patchbay calls show CA0123              its tracks, and the account of its audio
  patchbay calls explain CA0123           why there is no transcript
  patchbay calls role CA0123 @1 agent     track 1 is the agent, not the customer
  patchbay calls attach twilio CA0123     listen to a call that is already running`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := cmd.PersistentFlags()
	f.StringVar(&c.address, "api", env.get(envAPI, defaultAPI), "address of the API (environment: "+envAPI+")")
	f.StringVar(&c.token, "token", "", "where the API's token is: env:NAME or file:PATH (default env:"+envToken+", if set)")
	f.BoolVar(&c.json, "json", false, "print the API's JSON")
	cmd.AddCommand(c.listCommand(), c.showCommand(), c.explainCommand(), c.watchCommand(), c.attachCommand(), c.detachCommand(),
		c.pauseCommand("pause", "Withhold a call's audio: neither kept nor sent until it is resumed", "paused"),
		c.pauseCommand("resume", "Hear a paused call again", "resumed"),
		c.roleCommand())
	return cmd
}

// client returns the API's client; its caller closes it.
func (c *callsClient) client() (*apiClient, error) {
	token, err := c.secret()
	if err != nil {
		return nil, err
	}
	return newAPIClient(c.address, token)
}

func (c *callsClient) secret() (adapter.Secret, error) {
	ref := c.token
	switch {
	case ref == "" && c.env.get(envToken, "") == "":
		return "", nil
	case ref == "":
		ref = "env:" + envToken
	case !strings.HasPrefix(ref, "env:") && !strings.HasPrefix(ref, "file:"):
		return "", usageError{errors.New("--token: a token must not stand on the command line, where others can read it; write env:NAME or file:PATH")}
	}
	token, err := config.Secrets{LookupEnv: c.env.lookup}.Resolve(ref)
	if err != nil {
		return "", fmt.Errorf("--token %s: %w", ref, err)
	}
	return token, nil
}

// with runs what a command does with a client.
func (c *callsClient) with(run func(cmd *cobra.Command, client *apiClient, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		defer client.close()
		return run(cmd, client, args)
	}
}

// print shows an answer: as it is with --json, else as show makes it.
func (c *callsClient) print(w io.Writer, answer json.RawMessage, into any, show func() error) error {
	if c.json {
		var out bytes.Buffer
		if err := json.Indent(&out, answer, "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, strings.TrimSpace(out.String()))
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the API's answer cannot be read (%w); this program is %s, is the host newer?", err, version)
	}
	return show()
}

func (c *callsClient) listCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List live calls and those that ended lately",
		Args:  cobra.NoArgs,
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, _ []string) error {
			path := "/v1/calls"
			if state != "" {
				path += "?state=" + url.QueryEscape(state)
			}
			answer, err := client.get(cmd.Context(), path)
			if err != nil {
				return err
			}
			var list api.CallList
			out := cmd.OutOrStdout()
			return c.print(out, answer, &list, func() error {
				if len(list.Calls) == 0 {
					_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no calls")
					return err
				}
				return printCalls(out, colourOn(out, c.env.lookup), columnsOf(out, c.env.lookup), list.Calls, time.Now())
			})
		}),
	}
	cmd.Flags().StringVar(&state, "state", "", "only calls that are active, ending or ended")
	return cmd
}

func (c *callsClient) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show CALL",
		Short: "Show a call: participants, legs, and the account of each track's audio",
		Args:  cobra.ExactArgs(1),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			answer, err := client.get(cmd.Context(), callPath(args[0]))
			if err != nil {
				return err
			}
			var info call.Info
			out := cmd.OutOrStdout()
			return c.print(out, answer, &info, func() error {
				return printCall(out, colourOn(out, c.env.lookup), columnsOf(out, c.env.lookup), info, time.Now())
			})
		}),
	}
}

func (c *callsClient) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [CALL]",
		Short: "Follow a call until it ends: who says what, and what is suggested",
		Long: `Follows a call from its beginning until it ends: who says what, and what is
suggested. Without CALL it is the newest live one. With --json every event is a line.`,
		Args: cobra.MaximumNArgs(1),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			if len(args) == 0 {
				newest, err := c.newest(cmd, client)
				if err != nil {
					return err
				}
				args = []string{newest}
			}
			out := cmd.OutOrStdout()
			r := newRenderer(out, c.env.lookup)
			show := func(m sse.Message) error {
				if c.json {
					_, err := fmt.Fprintf(out, "%s\n", m.Data)
					return err
				}
				e, err := decodeEvent(m)
				if err != nil {
					return err
				}
				r.render(e)
				return r.err
			}
			lost := func(err error) {
				r.close()
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "patchbay: %v; trying again\n", err)
			}
			defer r.close()
			return client.watch(cmd.Context(), args[0], show, lost)
		}),
	}
}

// newest returns the id of the newest live call.
func (c *callsClient) newest(cmd *cobra.Command, client *apiClient) (string, error) {
	answer, err := client.get(cmd.Context(), "/v1/calls")
	if err != nil {
		return "", err
	}
	var list api.CallList
	if err := json.Unmarshal(answer, &list); err != nil {
		return "", fmt.Errorf("the API's answer cannot be read: %w", err)
	}
	newest, ok := newestLive(list)
	if !ok {
		return "", errors.New("no call is live; name one that has ended, as patchbay calls list shows them")
	}
	return newest.ID, nil
}

func (c *callsClient) attachCommand() *cobra.Command {
	var body api.AttachBody
	cmd := &cobra.Command{
		Use:   "attach ADAPTER CALL",
		Short: "Listen to a call that is already running at the vendor",
		Args:  cobra.ExactArgs(2),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			body.Call = args[1]
			answer, err := client.post(cmd.Context(), "/v1/adapters/"+url.PathEscape(args[0])+"/attach", body)
			if err != nil {
				return err
			}
			var result api.AttachResult
			return c.print(cmd.OutOrStdout(), answer, &result, func() error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "attached: stream", printable(result.Stream))
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&body.Account, "account", "", "the vendor's account, when the adapter has several")
	cmd.Flags().StringToStringVar(&body.Claims, "claim", nil, "`NAME=VALUE` that the call brings to the routing rules")
	return cmd
}

func (c *callsClient) detachCommand() *cobra.Command {
	var body api.DetachBody
	cmd := &cobra.Command{
		Use:   "detach ADAPTER CALL",
		Short: "Stop listening to a call that was attached",
		Args:  cobra.ExactArgs(2),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			body.Call = args[1]
			if _, err := client.post(cmd.Context(), "/v1/adapters/"+url.PathEscape(args[0])+"/detach", body); err != nil {
				return err
			}
			if c.json {
				return nil
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "detached")
			return err
		}),
	}
	cmd.Flags().StringVar(&body.Account, "account", "", "the vendor's account, when the adapter has several")
	cmd.Flags().StringVar(&body.Stream, "stream", "", "only the stream that attach named")
	return cmd
}

// pauseCommand pauses or resumes a call.
func (c *callsClient) pauseCommand(verb, short, done string) *cobra.Command {
	var body api.PauseBody
	cmd := &cobra.Command{
		Use:   verb + " CALL",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			if _, err := client.post(cmd.Context(), callPath(args[0])+"/"+verb, body); err != nil {
				return err
			}
			if c.json {
				return nil
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), done)
			return err
		}),
	}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why, for the call's log")
	return cmd
}

func (c *callsClient) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain CALL",
		Short: "Say why a call has no transcript, or no suggestions",
		Args:  cobra.ExactArgs(1),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			answer, err := client.get(cmd.Context(), callPath(args[0])+"/explain")
			if err != nil {
				return err
			}
			var x call.Explanation
			out := cmd.OutOrStdout()
			return c.print(out, answer, &x, func() error {
				return printExplanation(out, colourOn(out, c.env.lookup), columnsOf(out, c.env.lookup), x)
			})
		}),
	}
}

// stepWords says what the host decided: about which track, what, why and how long it took.
func stepWords(s call.Step) []span {
	words := strings.ReplaceAll(s.What, "_", " ")
	if s.Stream > 0 {
		words += fmt.Sprintf(" (stream %d)", s.Stream)
	}
	words += ": " + s.Text
	if s.Code != "" && !strings.Contains(s.Text, s.Code) {
		words += " (" + s.Code + ")"
	}
	if s.Seconds > 0 {
		words += fmt.Sprintf(", %.1f s", s.Seconds)
	}
	return []span{{"", strings.TrimSpace(printable(s.About)+" ") + " "}, {styleDim, printable(words)}}
}

// printExplanation prints the answer, then what was found, on lines of columns cells
// or, when columns is 0, as long as they are.
func printExplanation(w io.Writer, colour bool, columns int, x call.Explanation) error {
	p := &screen{colour: colour, columns: columns}
	p.below("", 0, span{styleBold, x.Verdict})
	p.line("")
	for _, f := range x.Findings {
		mark, style := "·", styleDim
		switch f.Level {
		case call.Trouble:
			mark, style = "✗", styleRed
		case call.Fine:
			mark, style = "✓", styleGreen
		}
		p.below(p.styled(style, mark)+" ", 2, span{"", strings.TrimPrefix(f.About+": "+f.Text, ": ")})
		if f.Do != "" {
			p.below("  → ", 4, span{"", f.Do})
		}
	}
	if len(x.Steps) > 0 {
		p.heading("LATELY")
	}
	for _, s := range x.Steps {
		p.below("  "+p.styled(styleDim, s.At.Local().Format("15:04:05.0"))+" ", 13, stepWords(s)...)
	}
	_, err := io.WriteString(w, p.String())
	return err
}
