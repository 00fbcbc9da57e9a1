"""Writes example_workflows/*.json and subgraphs/*.json: the example graphs and the blueprints, in the form that ComfyUI's page saves.

    python3 tools/make_workflows.py

How a graph is described: workflow_graph.py; the graphs: *_graphs.py and blueprints.py. Standard library only.
"""

from __future__ import annotations

import blueprints
import head_graphs as heads
import looking_graphs as looking
import steering_graphs as steering

EXAMPLES = (  # in the order in which a newcomer may open them; the template browser sorts by the numbers
    ("look_into_the_image", looking.lens),
    ("which_word_drew_what", looking.which_word),
    ("why_did_my_prompt_go_wrong", looking.report),
    ("mask_a_word_and_repaint_it", looking.repaint),
    ("which_words_can_go", looking.words_that_can_go),
    ("strengthen_a_lost_word", steering.lost_word),
    ("excite_a_missing_thing", steering.excite_a_missing_thing),
    ("wrong_sense_adjusted", steering.wrong_sense),
    ("change_one_word", steering.change_one_word),
    ("what_does_the_model_see", looking.existing_image),
    ("what_changed_between_two_images", looking.two_recordings),
    ("what_does_this_lora_do", looking.what_a_lora_does),
    ("save_attention_and_read_it_later", looking.save_and_read_later),
    ("which_word_drew_what_sdxl", looking.which_word_sdxl),
    ("which_word_drew_what_z_image", looking.which_word_z_image),
    ("which_mouse_sdxl", heads.which_mouse),
    ("which_word_drew_what_transformer", heads.transformer),
    ("which_mask_is_better", heads.compare_masks),
    ("build_vectors_for_your_checkpoint", heads.build_vectors),
    ("ordered_weakening", steering.ordered_weakening),
)


def main() -> None:
    for number, (job, make) in enumerate(EXAMPLES, 1):
        make(f"{number:02}_{job}")
    blueprints.main()


if __name__ == "__main__":
    main()
