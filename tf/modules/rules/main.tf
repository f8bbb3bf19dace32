# From access rules to role bindings: pure, without a provider.
#
# A role allows what it allows; there is no way to take one operation out of it. So a rule is granted by the smallest set of
# roles whose operations together are exactly the rule's, and a rule that no set equals is a problem, not an approximation.

locals {
  role_names = sort(keys(var.roles))

  # Every set of roles but the empty one, smaller sets first.
  unordered_sets = [
    for number in range(1, pow(2, length(local.role_names))) : [
      for index, role in local.role_names : role if floor(number / pow(2, index)) % 2 == 1
    ]
  ]
  role_sets = concat([
    for size in range(1, length(local.role_names) + 1) : [for set in local.unordered_sets : set if length(set) == size]
  ]...)

  resource_types = sort(distinct(flatten([for role in values(var.roles) : keys(role)])))

  # By type of resource and by the operations (sorted, joined): the sets of roles that allow exactly these, smallest first.
  grants = {
    for type in local.resource_types : type => {
      for set in local.role_sets :
      join(", ", sort(distinct(flatten([for role in set : lookup(var.roles[role], type, [])])))) => set...
      # A role that has nothing to say about this type of resource is in no set for it.
      if alltrue([for role in set : contains(keys(var.roles[role]), type)])
    }
  }

  rules = flatten([
    for pool in var.access.pools : [
      for rule in pool.rules : {
        pool       = pool.pool
        resource   = rule.resource
        name       = rule.name
        pattern    = rule.pattern
        operations = join(", ", sort(distinct(rule.operations)))
        says       = "pool '${pool.pool}', ${rule.resource} '${rule.name}' (${rule.pattern})"
      }
    ]
  ])

  known_names = { topic = var.topics, subject = var.subjects }

  bindings = merge([
    for rule in local.rules : {
      for role in try(local.grants[rule.resource][rule.operations][0], []) :
      "${rule.pool}/${rule.resource}/${rule.name}${rule.pattern == "prefix" ? "*" : ""}/${role}" => {
        pool     = rule.pool
        resource = rule.resource
        name     = "${rule.name}${rule.pattern == "prefix" ? "*" : ""}"
        role     = role
      }
    }
  ]...)

  problems = concat(
    [
      for pool, entries in { for entry in var.access.pools : entry.pool => entry... } :
      "pool '${pool}' is there ${length(entries)} times: give it one entry with all its rules" if length(entries) > 1
    ],
    [
      for says, entries in { for rule in local.rules : rule.says => rule... } :
      "${says} is there ${length(entries)} times: make one rule of them, with the operations of all" if length(entries) > 1
    ],
    [
      for rule in local.rules :
      "${rule.says}: resource '${rule.resource}' is unknown here; there are ${join(", ", local.resource_types)}"
      if !contains(local.resource_types, rule.resource)
    ],
    [
      for rule in local.rules : "${rule.says}: pattern '${rule.pattern}' is unknown; there are literal and prefix"
      if !contains(["literal", "prefix"], rule.pattern)
    ],
    [
      # A role binding's name is a pattern in itself: an asterisk at its end would make a literal rule one for everything.
      for rule in local.rules : "${rule.says}: a name has letters, digits, '.', '_' and '-' only; write a prefix as \"pattern\": \"prefix\""
      if !can(regex("^[A-Za-z0-9._-]+$", rule.name))
    ],
    [
      for rule in local.rules :
      "${rule.says}: no ${rule.resource} of the pipeline ${rule.pattern == "prefix" ? "begins so" : "has this name"}; there are ${join(", ", local.known_names[rule.resource])}. Correct the name, or add the topic to tf/topics.json first"
      if contains(keys(local.known_names), rule.resource) && !anytrue([
        for known in lookup(local.known_names, rule.resource, []) :
        rule.pattern == "prefix" ? startswith(known, rule.name) : known == rule.name
      ])
    ],
    [
      for rule in local.rules :
      "${rule.says}: no set of roles allows exactly [${rule.operations}]. What roles can allow on a ${rule.resource}: ${join("; ", [for operations in keys(local.grants[rule.resource]) : "[${operations}]"])}. Change the operations to one of these"
      if contains(local.resource_types, rule.resource) && !contains(keys(lookup(local.grants, rule.resource, {})), rule.operations)
    ],
  )
}
