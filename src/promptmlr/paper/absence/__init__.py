"""The paper's hypothesis as an experiment: do negative prompts fail because captions never speak of absence?"""
