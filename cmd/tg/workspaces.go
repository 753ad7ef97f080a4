package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

var workspaceColumns = []column{
	{"id", plain("id")},
	{"name", plain("name")},
	{"enabled", yesNo("enabled")},
	{"created", plain("created")},
}

func newCreateWorkspace(a *app) *cobra.Command {
	cmd, g := a.command("create-workspace --workspace-id ID", "Create a workspace",
		`Create a workspace. Ids that begin with an underscore are reserved.`)
	g.withToken(cmd)
	id := requiredFlag(cmd, "workspace-id", "`id` of the workspace")
	name := cmd.Flags().String("name", "", "full `name` (default: the id)")
	return g.run(cmd, func() error {
		workspace := object{{"id", *id}, {"enabled", true}}.with("name", *name)
		r, err := g.iam("create-workspace", member{"workspace_record", workspace})
		if err != nil {
			return err
		}
		return g.show(r.object("workspace"), func() {
			fmt.Fprintf(g.out, "Workspace created: %s\n", r.record.record("workspace").text("id"))
		})
	})
}

func newListWorkspaces(a *app) *cobra.Command {
	cmd, g := a.command("list-workspaces", "List all workspaces", `List all workspaces, the disabled ones too.`)
	g.withToken(cmd)
	return g.run(cmd, func() error {
		return g.showList("list-workspaces", "workspaces", workspaceColumns, "No workspaces.")
	})
}

func newListMyWorkspaces(a *app) *cobra.Command {
	cmd, g := a.command("list-my-workspaces", "List the workspaces that you may use",
		`List the workspaces that the user of the token may use. Services of the 2.4 line
of TrustGraph do not know this operation and say so.`)
	g.withToken(cmd)
	return g.run(cmd, func() error {
		return g.showList("list-my-workspaces", "workspaces", workspaceColumns, "No workspaces.")
	})
}

func newGetWorkspace(a *app) *cobra.Command {
	cmd, g := a.command("get-workspace --workspace-id ID", "Show one workspace", `Show a workspace.`)
	g.withToken(cmd)
	id := requiredFlag(cmd, "workspace-id", "`id` of the workspace")
	return g.run(cmd, func() error {
		r, err := g.iam("get-workspace", member{"workspace_record", object{{"id", *id}}})
		if err != nil {
			return err
		}
		return g.show(r.object("workspace"), func() { printFields(g.out, "workspace", workspaceColumns, r.record.record("workspace")) })
	})
}

func newUpdateWorkspace(a *app) *cobra.Command {
	cmd, g := a.command("update-workspace --workspace-id ID", "Change a workspace's name, or whether it is enabled",
		`Change what is given and keep the rest. A name cannot be emptied. --enabled no
keeps the workspace's users as they are; disable-workspace disables them and
deletes their API keys.`)
	g.withToken(cmd)
	id := requiredFlag(cmd, "workspace-id", "`id` of the workspace")
	name := cmd.Flags().String("name", "", "full `name`")
	enabled := flagYesNo(cmd, "enabled", "whether the workspace can be used")
	changes(cmd, "name", "enabled")
	return g.run(cmd, func() error {
		if cmd.Flags().Changed("name") && *name == "" {
			return unchanged{errors.New("a name cannot be emptied")}
		}
		return g.updateWorkspace(*id, *name, enabled.wanted(), "Updated")
	})
}

func newEnableWorkspace(a *app) *cobra.Command {
	cmd, g := a.command("enable-workspace --workspace-id ID", "Enable a workspace",
		`Enable a workspace. Users that were disabled together with it stay disabled.`)
	g.withToken(cmd)
	id := requiredFlag(cmd, "workspace-id", "`id` of the workspace")
	return g.run(cmd, func() error { return g.updateWorkspace(*id, "", true, "Enabled") })
}

func (g *gateway) updateWorkspace(id, name string, enabled any, done string) error {
	workspace := append(object{{"id", id}}.with("name", name), member{"enabled", enabled})
	r, err := g.iam("update-workspace", member{"workspace_record", workspace})
	if err != nil {
		return err
	}
	return g.show(r.object("workspace"), func() { fmt.Fprintf(g.out, "%s workspace %s\n", done, id) })
}

func newDisableWorkspace(a *app) *cobra.Command {
	cmd, g := a.command("disable-workspace --workspace-id ID", "Disable a workspace with its users",
		`Disable a workspace and every user of it, and delete their API keys. Enabling it
again brings back neither.`)
	g.withToken(cmd)
	id := requiredFlag(cmd, "workspace-id", "`id` of the workspace")
	return g.run(cmd, func() error {
		r, err := g.iam("disable-workspace", member{"workspace_record", object{{"id", *id}}})
		if err != nil {
			return err
		}
		return g.done(r, "Disabled workspace %s", *id)
	})
}
