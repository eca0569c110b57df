# Control: 20 nouns of WordNet drawn at random, neither filtered nor looked at.
_base_ = "./negas_yolo-world-v2-l_8xb20-30e_voc.py"

words = (
    "bromo-seltzer, werewolf, johnson grass, turgenev, international finance corporation, "
    "dry season, samnite, jewelry maker, saint lucia, needlebush, simple leaf, regionalism, "
    "sneak thief, mirror, novation, songstress, enchanter, berliner, nodule, booking"
)
model = dict(neg_labels=words.split(", "))
