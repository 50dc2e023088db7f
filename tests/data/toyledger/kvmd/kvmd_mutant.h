#ifndef _TOY_KVMD_MUTANT_H
#define _TOY_KVMD_MUTANT_H
enum toy_defect {
	KVMD_MUTANT_NONE,
	KVMD_MUTANT_WRONG_ANSWER,
	KVMD_MUTANT_LATE_ANSWER
};
#define KVMD_MUTANT KVMD_MUTANT_NONE
#define kvmd_mutant(defect) (KVMD_MUTANT == KVMD_MUTANT_##defect)
#endif
