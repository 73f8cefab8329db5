package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/api"
	"github.com/patchbay/patchbay/core/call"
	"github.com/patchbay/patchbay/core/config"
)

// roleWords are the roles in the words of the command line, which are those of routes.
var roleWords = []config.Speaker{config.SpeakerCustomer, config.SpeakerAgent, config.SpeakerOther}

// roleCommand corrects who speaks on a track.
func (c *callsClient) roleCommand() *cobra.Command {
	var body api.RoleBody
	cmd := &cobra.Command{
		Use:   "role CALL TRACK customer|agent|other",
		Short: "Correct who speaks on a track, while the call runs",
		Long: `Says who speaks on a track, named by the vendor's name of it or by its number, as
calls show prints both (@3). The transcript shows what was said before under the
corrected role; the audio that follows goes to another participant of Agent Assist,
whose earlier messages stay as they are.`,
		Args: cobra.ExactArgs(3),
		RunE: c.with(func(cmd *cobra.Command, client *apiClient, args []string) error {
			if body.Role = roleOf(args[2]); body.Role == "" {
				return usageError{fmt.Errorf("%q is no role; write customer, agent or other", args[2])}
			}
			answer, err := client.post(cmd.Context(), callPath(args[0])+"/tracks/"+url.PathEscape(args[1])+"/role", body)
			if err != nil {
				return err
			}
			var t call.TrackInfo
			return c.print(cmd.OutOrStdout(), answer, &t, func() error {
				words := fmt.Sprintf("track %s is the %s", printable(t.Track), args[2])
				if len(t.Earlier) > 0 || t.StoredRole != "" {
					words += "; what Agent Assist has of it so far stays as it is"
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), words)
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&body.Reason, "reason", "", "why, for the call's log")
	return cmd
}

// roleOf returns the role of a word, as routes or the API write it; empty for others.
func roleOf(word string) adapter.Role {
	for _, r := range []adapter.Role{adapter.RoleEndUser, adapter.RoleHumanAgent, adapter.RoleOther} {
		if word == string(r) {
			return r
		}
	}
	if s := config.Speaker(strings.ToLower(word)); slices.Contains(roleWords, s) {
		return s.Role()
	}
	return ""
}
