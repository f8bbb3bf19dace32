# Refused with: Instance cannot be destroyed
#
# Run by scripts/check-terraform in modules/pipeline: a topic that is no longer named would be deleted with all that is on it.

mock_provider "confluent" {
  source = "../../tests/mocks"
}

variables {
  schemas  = "../../../schemas"
  cluster  = { id = "lkc-1", rest_endpoint = "https://pkc-1.example:443" }
  registry = { id = "lsrc-1", rest_endpoint = "https://psrc-1.example" }
}

run "three_topics" {
  variables {
    topics = jsondecode(file("../../topics.json"))
  }
}

run "one_of_them_removed" {
  command = plan
  variables {
    topics = { for name, topic in jsondecode(file("../../topics.json")) : name => topic if name != "grocery.dead-letter.v1" }
  }
}
