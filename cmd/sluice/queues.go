package main

import (
	"fmt"

	"sluice/bus"
	"sluice/codec"
)

// Queues are the request and response topic ids of the system services, where
// they are not `request:TOPICSPACE:NAME` and `response:TOPICSPACE:NAME`.
type Queues struct {
	Config, Flow, Librarian, Knowledge, Collection, IAM codec.Interface
}

// queueRow ties a pair of topics to its kind and to the name that the platform
// gives it. Note `collection`, not `collection-management`.
type queueRow struct {
	kind  codec.Kind
	topic string
	pair  *codec.Interface
}

func (q *Queues) all() []queueRow {
	return []queueRow{
		{codec.Config, "config", &q.Config},
		{codec.Flow, "flow", &q.Flow},
		{codec.Librarian, "librarian", &q.Librarian},
		{codec.Knowledge, "knowledge", &q.Knowledge},
		{codec.CollectionManagement, "collection", &q.Collection},
		{codec.IAM, "iam", &q.IAM},
	}
}

// global returns what was given, as dispatch wants it.
func (q *Queues) global() map[codec.Kind]codec.Interface {
	out := make(map[codec.Kind]codec.Interface)
	for _, row := range q.all() {
		if *row.pair != (codec.Interface{}) {
			out[row.kind] = *row.pair
		}
	}
	return out
}

// validate refuses ids that are not topics of the class that their use needs.
func (q *Queues) validate() error {
	for _, row := range q.all() {
		if err := checkTopic(row.pair.Request, bus.Request); err != nil {
			return fmt.Errorf("--%s-request-queue: %w", row.kind, err)
		}
		if err := checkTopic(row.pair.Response, bus.Response); err != nil {
			return fmt.Errorf("--%s-response-queue: %w", row.kind, err)
		}
	}
	return nil
}

func checkTopic(id string, want bus.Class) error {
	if id == "" {
		return nil
	}
	t, err := bus.ParseTopic(id)
	if err != nil {
		return err
	}
	if t.Class != want {
		return fmt.Errorf("%q is a %s topic, it must be a %s topic", id, t.Class, want)
	}
	return nil
}
