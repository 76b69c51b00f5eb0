"""A shop of simulated people, so that everything can be tried, tested and measured without anybody's data.

    parameters, world   world.toml: every number of the model, under a version, and the tables made of it
    catalogue           what there is to buy
    shoppers            latent types and tastes; what each shopper's past holds
    sessions, steps     the generative model: intents, stages, what an event shows
    bots                visitors that are no persons
    mess                omissions, late events, duplicates, broken lines
    encode              JSON lines
    simulation          the run and its summary
    probabilities, evidence, timetable, starts, forward, session_pass, posterior
                        the truth: the exact posterior of each event's intent
    truth               the truth of a simulation, and its lines

A shopper has a hidden type, which says how often sessions come, how likely each intent is, and which prices are liked. A
session has a hidden intent, whose weights the shopper's past multiplies: an open cart, an order delivered, repeated returns
to one product. The intent steers a hidden chain of stages, and a stage shows itself in acts, products, queries and dwell.
A session about a purchase, a consult or a review comes to that act; in no other session does it occur.
"""

from lambent.simulate.posterior import Truth
from lambent.simulate.simulation import START, Simulation, Summary, simulate
from lambent.simulate.truth import truths

__all__ = ["START", "Simulation", "Summary", "Truth", "simulate", "truths"]
