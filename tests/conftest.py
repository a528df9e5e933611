"""Settings of every test run."""

import torch

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
