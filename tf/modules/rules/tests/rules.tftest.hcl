# The choice of roles, on the project's own files and on rules that must be refused. No provider takes part.

variables {
  access   = jsondecode(file("../../access.json"))
  roles    = jsondecode(file("../../roles.json"))
  topics   = ["grocery.orders.v1", "grocery.picklist.v1", "grocery.dead-letter.v1"]
  subjects = ["grocery.orders.v1-value", "grocery.picklist.v1-value"]
}

run "the_projects_rules_are_these_bindings_and_no_more" {
  command = plan

  assert {
    condition     = length(output.problems) == 0
    error_message = join("\n", output.problems)
  }

  assert {
    condition = toset(keys(output.bindings)) == toset([
      "order-producer/topic/grocery.orders.v1/DeveloperWrite",
      "order-producer/subject/grocery.orders.v1-value/DeveloperRead",
      "fulfillment-service/topic/grocery.orders.v1/DeveloperRead",
      "fulfillment-service/group/fulfillment-service-group/DeveloperRead",
      "fulfillment-service/topic/grocery.picklist.v1/DeveloperWrite",
      "fulfillment-service/transactional-id/fulfillment-service*/DeveloperWrite",
      "fulfillment-service/subject/grocery.orders.v1-value/DeveloperRead",
      "fulfillment-service/subject/grocery.picklist.v1-value/DeveloperRead",
      "picklist-consumer/topic/grocery.picklist.v1/DeveloperRead",
      "picklist-consumer/group/picklist-consumer-group/DeveloperRead",
      "picklist-consumer/subject/grocery.picklist.v1-value/DeveloperRead",
      "operator/topic/grocery.*/DeveloperRead",
      "operator/group/fulfillment-service-group/DeveloperRead",
      "operator/group/picklist-consumer-group/DeveloperRead",
      "operator/subject/grocery.*/DeveloperRead",
    ])
    error_message = "the bindings are now ${jsonencode(keys(output.bindings))}; if that is meant, say so here too"
  }
}

run "the_smallest_set_of_roles_is_taken" {
  command = plan

  variables {
    access = {
      pools = [{
        pool = "p", principal = "p"
        rules = [
          { resource = "topic", name = "grocery.orders.v1", pattern = "literal", operations = ["Write", "Describe", "Read"] },
          { resource = "transactional-id", name = "t", pattern = "literal", operations = ["Describe"] },
          { resource = "group", name = "g", pattern = "prefix", operations = ["Delete", "Describe", "Read", "Read"] },
        ]
      }]
    }
  }

  assert {
    condition     = length(output.problems) == 0
    error_message = join("\n", output.problems)
  }

  assert {
    # DeveloperManage and DeveloperRead both allow to describe a transactional id and nothing else: the first by name is taken.
    condition = toset(keys(output.bindings)) == toset([
      "p/topic/grocery.orders.v1/DeveloperRead", "p/topic/grocery.orders.v1/DeveloperWrite",
      "p/transactional-id/t/DeveloperManage",
      "p/group/g*/DeveloperManage", "p/group/g*/DeveloperRead",
    ])
    error_message = jsonencode(keys(output.bindings))
  }
}

run "operations_that_no_roles_equal_are_refused_with_what_can_be_had" {
  command = plan

  variables {
    access = {
      pools = [{
        pool = "p", principal = "p"
        rules = [
          { resource = "topic", name = "grocery.orders.v1", pattern = "literal", operations = ["Read", "Describe", "DescribeConfigs"] },
          { resource = "subject", name = "grocery.orders.v1-value", pattern = "literal", operations = ["Read"] },
          { resource = "group", name = "g", pattern = "literal", operations = ["Write"] },
          { resource = "group", name = "h", pattern = "literal", operations = [] },
        ]
      }]
    }
  }

  assert {
    condition     = length(output.problems) == 4 && length(output.bindings) == 0
    error_message = jsonencode([output.problems, output.bindings])
  }
  assert {
    condition     = startswith(output.problems[0], "pool 'p', topic 'grocery.orders.v1' (literal): no set of roles allows exactly [Describe, DescribeConfigs, Read]")
    error_message = output.problems[0]
  }
  assert {
    condition     = endswith(output.problems[1], "What roles can allow on a subject: [Read, ReadCompatibility]; [Read, ReadCompatibility, Write]; [Write]. Change the operations to one of these")
    error_message = output.problems[1]
  }
}

run "names_that_the_pipeline_does_not_have_are_refused" {
  command = plan

  variables {
    access = {
      pools = [{
        pool = "p", principal = "p"
        rules = [
          { resource = "topic", name = "grocery.order.v1", pattern = "literal", operations = ["Read", "Describe"] },
          { resource = "topic", name = "grocery.orders.v1x", pattern = "prefix", operations = ["Read", "Describe"] },
          { resource = "subject", name = "grocery.orders.v1", pattern = "literal", operations = ["Read", "ReadCompatibility"] },
          { resource = "topic", name = "grocery.d", pattern = "prefix", operations = ["Read", "Describe"] },
        ]
      }]
    }
  }

  assert {
    condition = tolist([for problem in output.problems : split("; ", problem)[0]]) == tolist([
      "pool 'p', topic 'grocery.order.v1' (literal): no topic of the pipeline has this name",
      "pool 'p', topic 'grocery.orders.v1x' (prefix): no topic of the pipeline begins so",
      "pool 'p', subject 'grocery.orders.v1' (literal): no subject of the pipeline has this name",
    ])
    error_message = jsonencode(output.problems)
  }
}

run "what_is_unknown_doubled_or_a_pattern_in_disguise_is_refused" {
  command = plan

  variables {
    access = {
      pools = [
        {
          pool = "p", principal = "p"
          rules = [
            { resource = "cluster", name = "kafka-cluster", pattern = "literal", operations = ["Describe"] },
            { resource = "group", name = "g", pattern = "suffix", operations = ["Read", "Describe"] },
            { resource = "group", name = "*", pattern = "literal", operations = ["Read", "Describe"] },
            { resource = "group", name = "", pattern = "prefix", operations = ["Read", "Describe"] },
            { resource = "group", name = "twice", pattern = "literal", operations = ["Read", "Describe"] },
            { resource = "group", name = "twice", pattern = "literal", operations = ["Delete", "Describe"] },
          ]
        },
        { pool = "q", principal = "q", rules = [] },
        { pool = "q", principal = "r", rules = [] },
      ]
    }
  }

  assert {
    condition = tolist(output.problems) == tolist([
      "pool 'q' is there 2 times: give it one entry with all its rules",
      "pool 'p', group 'twice' (literal) is there 2 times: make one rule of them, with the operations of all",
      "pool 'p', cluster 'kafka-cluster' (literal): resource 'cluster' is unknown here; there are group, subject, topic, transactional-id",
      "pool 'p', group 'g' (suffix): pattern 'suffix' is unknown; there are literal and prefix",
      "pool 'p', group '*' (literal): a name has letters, digits, '.', '_' and '-' only; write a prefix as \"pattern\": \"prefix\"",
      "pool 'p', group '' (prefix): a name has letters, digits, '.', '_' and '-' only; write a prefix as \"pattern\": \"prefix\"",
    ])
    error_message = jsonencode(output.problems)
  }
}
