use super::question::Question;

/// Most questions that are asked to make one smaller.
const MAX_STEPS: u32 = 400;

/// Cuts pieces out of the texts of a question, as long as it still fails: what is left is what matters.
pub(super) fn smallest(question: Question, mut still_fails: impl FnMut(&Question) -> bool) -> Question {
    let mut best = question;
    let mut steps = 0_u32;
    if let Question::ParseFileNames(names) = &mut best {
        let all = std::mem::take(names);
        let kept = cut(&all, &mut steps, |names| still_fails(&Question::ParseFileNames(names.to_vec())));
        best = Question::ParseFileNames(kept);
    }
    for i in 0..best.texts_mut().len() {
        let Some(text) = best.texts_mut().get(i).map(|text| text.chars().collect::<Vec<char>>()) else { continue };
        let with = |chars: &[char]| {
            let mut question = best.clone();
            if let Some(text) = question.texts_mut().into_iter().nth(i) {
                *text = chars.iter().collect();
            }
            question
        };
        let kept = cut(&text, &mut steps, |chars| still_fails(&with(chars)));
        best = with(&kept);
    }
    best
}

/// Halves, quarters and so on are left out in turn; each that is not needed stays out.
fn cut<T: Clone>(items: &[T], steps: &mut u32, mut still_fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut size = kept.len();
    while size > 0 {
        let mut at = 0;
        while at < kept.len() && *steps < MAX_STEPS {
            let end = at.saturating_add(size).min(kept.len());
            let mut shorter = kept.clone();
            shorter.drain(at..end);
            *steps = steps.saturating_add(1);
            if still_fails(&shorter) {
                kept = shorter;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_cut_out() {
        let text = format!("{}needle{}", "hay ".repeat(200), "straw\n".repeat(200));
        let has_needle = |question: &Question| {
            let mut question = question.clone();
            question.texts_mut().into_iter().any(|text| text.contains("needle"))
        };
        assert_eq!(smallest(Question::os_release(text), has_needle), Question::os_release("needle"));
        let names = ["a", "b", "needle.rpm", "c"].map(ToOwned::to_owned).to_vec();
        let got = smallest(Question::ParseFileNames(names), has_needle);
        assert_eq!(got, Question::ParseFileNames(vec!["needle".to_owned()]));
    }

    #[test]
    fn the_number_of_steps_is_bounded() {
        let mut asked = 0;
        smallest(Question::os_release("ab".repeat(30_000)), |_| {
            asked += 1;
            false
        });
        assert!(asked <= MAX_STEPS);
    }
}
