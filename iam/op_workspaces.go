package iam

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"sluice/codec"
)

func (s *Service) createWorkspace(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	in := r.WorkspaceRecord
	switch {
	case in == nil || in.ID == "":
		return nil, invalid("workspace_record.id required for create-workspace")
	case strings.HasPrefix(in.ID, "_"):
		return nil, invalid("workspace ids beginning with '_' are reserved")
	}
	ev.target = in.ID
	if err := checkNewWorkspace(in); err != nil {
		return nil, err
	}
	w := Workspace{ID: in.ID, Name: cmp.Or(in.Name, in.ID), Enabled: in.Enabled.Or(true), Created: s.now()}
	if err := s.store.CreateWorkspace(ctx, w); err != nil {
		if errors.Is(err, ErrExists) {
			return nil, duplicate("workspace already exists")
		}
		return nil, err
	}
	return &codec.IAMReply{Workspace: new(workspaceRecord(w))}, nil
}

func (s *Service) listWorkspaces(ctx context.Context, _ *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	workspaces, err := s.store.Workspaces(ctx)
	if err != nil {
		return nil, err
	}
	return &codec.IAMReply{Workspaces: mapSlice(workspaces, workspaceRecord)}, nil
}

// listMyWorkspaces lists what the actor can work in. Later versions of the
// reference have it (v2.8.md section 15.5). It is the only operation that believes
// the actor, which gateways of the first contract leave to the caller: what they
// could get by that is names of workspaces.
func (s *Service) listMyWorkspaces(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	if r.Actor == "" {
		return nil, invalid("actor required")
	}
	user, err := s.store.User(ctx, r.Actor)
	if err != nil {
		return nil, orRefusal(err, errUserNotFound)
	}
	if slices.Contains(user.Roles, RoleAdmin) {
		return s.listWorkspaces(ctx, r, ev)
	}
	own, err := s.store.Workspace(ctx, user.Workspace)
	if errors.Is(err, ErrNotFound) {
		return &codec.IAMReply{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &codec.IAMReply{Workspaces: []codec.IAMWorkspace{workspaceRecord(own)}}, nil
}

func (s *Service) getWorkspace(ctx context.Context, r *codec.IAMRequest, _ *event) (*codec.IAMReply, error) {
	if r.WorkspaceRecord == nil || r.WorkspaceRecord.ID == "" {
		return nil, errWorkspaceIDRequired
	}
	w, err := s.store.Workspace(ctx, r.WorkspaceRecord.ID)
	if err != nil {
		return nil, orRefusal(err, errWorkspaceNotFound)
	}
	return &codec.IAMReply{Workspace: new(workspaceRecord(w))}, nil
}

func (s *Service) updateWorkspace(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	in := r.WorkspaceRecord
	if in == nil || in.ID == "" {
		return nil, errWorkspaceIDRequired
	}
	ev.target = in.ID
	if _, err := s.store.Workspace(ctx, in.ID); err != nil {
		return nil, orRefusal(err, errWorkspaceNotFound)
	}
	if err := checkText("workspace_record.name", in.Name, maxNameBytes); err != nil {
		return nil, err
	}
	w, err := s.store.UpdateWorkspace(ctx, in.ID, WorkspaceChange{Name: given(in.Name), Enabled: givenFlag(in.Enabled)})
	if err != nil {
		return nil, orChangeRefusal(err, errWorkspaceNotFound)
	}
	return &codec.IAMReply{Workspace: new(workspaceRecord(w))}, nil
}

func (s *Service) disableWorkspace(ctx context.Context, r *codec.IAMRequest, ev *event) (*codec.IAMReply, error) {
	if r.WorkspaceRecord == nil || r.WorkspaceRecord.ID == "" {
		return nil, errWorkspaceIDRequired
	}
	ev.target = r.WorkspaceRecord.ID
	if err := s.store.DisableWorkspace(ctx, r.WorkspaceRecord.ID); err != nil {
		return nil, orChangeRefusal(err, errWorkspaceNotFound)
	}
	return &codec.IAMReply{}, nil
}

// workspaceRecord is what callers see of a workspace.
func workspaceRecord(w Workspace) codec.IAMWorkspace {
	return codec.IAMWorkspace{ID: w.ID, Name: w.Name, Enabled: w.Enabled, Created: stamp(w.Created)}
}
